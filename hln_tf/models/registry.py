"""The registered models and their presets. Imports no TensorFlow."""

import importlib.metadata
from collections.abc import Mapping
from typing import Any

from hln_tf.common.errors import HlnError, SettingError, UsageError
from hln_tf.common.settings import from_dict
from hln_tf.models.counter_settings import (
    AssociationRulesSettings,
    MarkovSettings,
    PopularitySettings,
    SequentialRulesSettings,
    SKNNSettings,
    SPopSettings,
    STANSettings,
    VSKNNSettings,
)
from hln_tf.models.entry import ModelEntry
from hln_tf.models.settings import (
    CSRMSettings,
    EncoderSettings,
    FPMCSettings,
    GRU4RecSettings,
    HLNSettings,
    NARMSettings,
    NISERSettings,
    SASRecSettings,
    SRGNNSettings,
    STAMPSettings,
)

# Entry points by which other packages register models.
ENTRY_POINTS = "hln_tf.models"


def _sgd_by_sample(learning_rate: float, l2: float = 0.0, batch_size: int = 50) -> dict[str, Any]:
    """Return settings equivalent to gradient descent example by example, in batches.

    The loss is the mean over a batch, so the rate of an example is that of the batch
    over its size; weight decay applies once in a step that uses the weight.
    """
    return {
        "optimizer": "sgd",
        "momentum": 0.0,
        "learning_rate": learning_rate * batch_size,
        "l2": l2 / batch_size,
        "decay": 1.0,
        "batch_size": batch_size,
        "num_negatives": batch_size,
        "sampling_power": 0.0,
    }


# What helped HLN, STAMP and SR-GNN alike on validation parts of Yoochoose 1/64.
_TUNED: dict[str, Any] = {
    "normalize": True,
    "batch_size": 256,
    "precision": "auto",
    "learning_rate": 0.002,
    "decay": 0.3,
    "decay_epochs": 2,
    "epochs": 6,
}

_HLN_EMBEDDING = {"dropout": 0.4, "scale": 12.0, "leap_bias": -5.0, **_TUNED}

MODELS: dict[str, ModelEntry] = {
    "hln": ModelEntry(
        HLNSettings,
        "hln_tf.models.hln:HLN",
        presets={
            "paper": {},
            "paper_eq8": {"loss": "equation_8"},
            # The best of those whose scores are products of embeddings.
            "embedding": _HLN_EMBEDDING,
            "tuned": {
                **_HLN_EMBEDDING,
                "repeat_head": True,
                "label_smoothing": 0.1,
                "last_click": "projected",
                "learning_rate": 0.005,
            },
            # Of sessions with several minds: more groups than a session has preferences.
            "demo": {
                "num_groups": 4,
                "leap_gate": "predictive",
                "exclusive_groups": True,
                "aggregation": "recency",
                "batch_size": 256,
                "learning_rate": 0.003,
                "decay": 0.3,
                "epochs": 8,
            },
        },
    ),
    "s_pop": ModelEntry(SPopSettings, "hln_tf.models.s_pop:SPop"),
    "sknn": ModelEntry(SKNNSettings, "hln_tf.models.sknn:SKNN"),
    "bpr_mf": ModelEntry(
        EncoderSettings,
        "hln_tf.models.bpr_mf:BPRMF",
        presets={"paper": {"loss": "bpr", **_sgd_by_sample(0.01), "epochs": 10}},
    ),
    "fpmc": ModelEntry(
        FPMCSettings,
        "hln_tf.models.fpmc:FPMC",
        presets={
            "paper": {"loss": "bpr_adaptive", **_sgd_by_sample(0.05, l2=0.0025), "epochs": 10}
        },
    ),
    "gru4rec": ModelEntry(
        GRU4RecSettings,
        "hln_tf.models.gru4rec:GRU4Rec",
        presets={
            # The authors add their epsilon, also 1e-6, inside adagrad's root.
            "paper": {
                "hidden_dropout": 0.5,
                "loss": "top1",
                "num_negatives": 49,
                "sampling_power": 1.0,
                "optimizer": "adagrad",
                "learning_rate": 0.01,
                "epsilon": 1e-6,
                "decay": 1.0,
                "batch_size": 50,
                "epochs": 10,
            },
            "modern": {
                "tied": True,
                "loss": "sampled",
                "num_negatives": 2048,
                "sampling_power": 0.75,
                "optimizer": "adagrad",
                "learning_rate": 0.05,
                "epsilon": 1e-6,
                "decay": 1.0,
                "batch_size": 128,
                "epochs": 15,
            },
            "tuned": {
                "tied": True,
                "loss": "softmax",
                "dropout": 0.4,
                "scale": 12.0,
                "repeat_head": True,
                **_TUNED,
            },
        },
    ),
    "stamp": ModelEntry(
        STAMPSettings,
        "hln_tf.models.stamp:STAMP",
        presets={
            "paper": {"learning_rate": 0.003, "decay": 1.0, "batch_size": 512, "epochs": 30},
            "tuned": {"dropout": 0.3, "scale": 12.0, **_TUNED},
        },
    ),
    "narm": ModelEntry(
        NARMSettings,
        "hln_tf.models.narm:NARM",
        presets={
            "paper": {
                "embedding_dim": 50,
                "hidden_dim": 100,
                "dropout": 0.25,
                "hidden_dropout": 0.5,
                "batch_size": 512,
                "max_length": 19,
                "learning_rate": 0.001,
                "decay": 1.0,
                "epochs": 30,
            }
        },
    ),
    "csrm": ModelEntry(
        CSRMSettings,
        "hln_tf.models.csrm:CSRM",
        presets={
            "paper": {
                "embedding_dim": 100,
                "hidden_dim": 100,
                "dropout": 0.25,
                "hidden_dropout": 0.5,
                "memory_size": 10_000,
                "neighbors": 512,
                "batch_size": 512,
                "max_length": 19,
                "learning_rate": 0.0005,
                "decay": 1.0,
                "epochs": 30,
            }
        },
    ),
    "sr_gnn": ModelEntry(
        SRGNNSettings,
        "hln_tf.models.sr_gnn:SRGNN",
        presets={
            "paper": {"l2": 1e-5, "batch_size": 100, "epochs": 30},
            "tuned": {"dropout": 0.3, "scale": 12.0, **_TUNED},
        },
    ),
    "sasrec": ModelEntry(
        SASRecSettings,
        "hln_tf.models.sasrec:SASRec",
        presets={
            "paper": {
                "hidden_dropout": 0.5,
                "loss": "binary",
                "num_negatives": 128,
                "sampling_power": 0.0,
                "batch_size": 128,
                "decay": 1.0,
                "epochs": 200,
            }
        },
    ),
    # What its paper does not give is SR-GNN's.
    "niser": ModelEntry(
        NISERSettings,
        "hln_tf.models.niser:NISER",
        presets={"paper": {"l2": 1e-5, "batch_size": 100, "epochs": 30}},
    ),
    "v_sknn": ModelEntry(
        VSKNNSettings,
        "hln_tf.models.v_sknn:VSKNN",
        presets={
            "paper": {},
            # Of session-rec's evaluation on Yoochoose 1/64; a validation part finds none better.
            "tuned": {
                "sample_size": 5000,
                "neighbors": 1000,
                "weighting": "log",
                "score_weighting": "quadratic",
                "idf_weight": 2.0,
            },
        },
    ),
    "stan": ModelEntry(
        STANSettings,
        "hln_tf.models.stan:STAN",
        presets={
            "paper": {},
            # Chosen on the validation part of Yoochoose 1/64.
            "tuned": {
                "neighbors": 1500,
                "click_decay": 0.3,
                "session_decay": 10.0,
                "item_decay": 3.0,
            },
        },
    ),
    "association_rules": ModelEntry(
        AssociationRulesSettings, "hln_tf.models.association_rules:AssociationRules"
    ),
    "sequential_rules": ModelEntry(
        SequentialRulesSettings, "hln_tf.models.sequential_rules:SequentialRules"
    ),
    "popularity": ModelEntry(PopularitySettings, "hln_tf.models.popularity:Popularity"),
    "markov": ModelEntry(
        MarkovSettings,
        "hln_tf.models.markov:Markov",
        presets={
            "paper": {},
            # Chosen on the validation part of Yoochoose 1/64.
            "tuned": {
                "window": 10,
                "weighting": "quadratic",
                "last_clicks": 5,
                "repeat_prior": 0.15,
            },
        },
    ),
}


def model_names() -> tuple[str, ...]:
    """List the names of all models, those of installed packages included."""
    return tuple(dict.fromkeys([*MODELS, *(point.name for point in _entry_points())]))


def model_entry(name: str) -> ModelEntry:
    """Return the registered model of that name.

    Raises:
      UsageError: There is none; the message lists those that exist.
      HlnError: The package that registers it cannot be loaded.
    """
    if isinstance(name, str) and name not in MODELS:
        for point in _entry_points():
            if point.name == name:
                MODELS[name] = _load(point)
    if not isinstance(name, str) or name not in MODELS:
        raise SettingError(
            "model",
            name,
            f"one of: {', '.join(model_names())}; register a class of your own with "
            f"hln_tf.register_model and give its name",
        )
    return MODELS[name]


def recorded_entry(name: str, source: str) -> ModelEntry:
    """Return the model of that name that a file records.

    Args:
      name: The name.
      source: The file, for the error.

    Raises:
      HlnError: It is not registered.
    """
    if name not in model_names():
        raise HlnError(
            f"{source} was written for the model {name!r}, which is not registered in this "
            f"process: call hln_tf.register_model({name!r}, YourClass) before loading it, or "
            f"install the package that has it"
        )
    return model_entry(name)


def recorded_settings(name: str, values: Mapping[str, Any], source: str) -> Any:
    """Build a model's settings from those that a file records.

    Args:
      name: Name of the model.
      values: Its settings by name.
      source: The file, for errors.

    Raises:
      HlnError: The model is not registered, or another one is under this name.
      UsageError: A value of a model of the package is not allowed.
    """
    entry = recorded_entry(name, source)
    try:
        return from_dict(entry.settings, values, source)
    except (TypeError, UsageError) as error:
        if entry.is_own:
            raise
        raise HlnError(
            f"{source} was written for another model {name!r} than the one that is registered in "
            f"this process, {entry.class_name} ({str(error).replace('`', '')}): register the "
            f"class that was trained"
        ) from None


def _entry_points() -> importlib.metadata.EntryPoints:
    return importlib.metadata.entry_points(group=ENTRY_POINTS)


def _load(point: importlib.metadata.EntryPoint) -> ModelEntry:
    """Load the entry of an installed package."""
    try:
        entry = point.load()
    except Exception as error:
        raise HlnError(
            f"the model {point.name!r} of {point.value} cannot be loaded "
            f"({type(error).__name__}: {error}): fix or uninstall its package"
        ) from None
    if not isinstance(entry, ModelEntry):
        raise HlnError(
            f"the entry point {point.name!r} of {ENTRY_POINTS} names {point.value}, expected a "
            f"ModelEntry"
        )
    return entry
