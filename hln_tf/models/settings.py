"""The models' settings, and which models there are. Imports no TensorFlow."""

import dataclasses
import importlib
from typing import Any

from hln_tf.errors import UsageError
from hln_tf.settings import Range, checked, setting

# What scores take at a time where they are counted or searched: about a core's cache.
SCORE_MEGABYTES = 8


@dataclasses.dataclass(frozen=True)
class EncoderSettings:
    """What all trained models share: the item vectors and how queries meet them."""

    embedding_dim: int = setting(100, "size d of the item vectors", minimum=1, maximum=1_000_000)
    normalize: bool = setting(
        False, "score by cosine times a learnt scale: item vectors and queries have length 1"
    )
    scale: float = setting(16.0, "start value of the learnt scale, with normalize", above=0.0)
    dropout: float = setting(
        0.0,
        "share of a session's item vectors zeroed in training",
        minimum=0.0,
        below=1.0,
        search=Range(0.0, 0.5),
    )

    def __post_init__(self) -> None:
        checked(self)


@dataclasses.dataclass(frozen=True)
class HLNSettings(EncoderSettings):
    """Hierarchical Leaping Networks; the defaults are the paper's where it gives a value."""

    hidden_dim: int = setting(200, "size n of a preference", minimum=1, maximum=1_000_000)
    num_groups: int = setting(3, "number L of preference groups", minimum=1, search=Range(1, 4))
    aggregation: str = setting(
        "sum",
        "how the preference manager aggregates",
        choices=("sum", "max", "attention"),
        search=("sum", "max", "attention"),
    )
    temperature: float = setting(
        1.0,
        "temperature of the relaxed leap gate",
        minimum=0.01,
        maximum=100.0,
        search=Range(0.2, 2.0, log=True),
    )
    leap_bias: float = setting(
        0.0, "start value of b in eq. 2; below 0 starts by keeping", search=Range(-2.0, 2.0)
    )
    preference_dropout: float = setting(
        0.0,
        "share of the entries of a_L, all preferences together, zeroed in training",
        minimum=0.0,
        below=1.0,
    )
    gates: str = setting(
        "both",
        "leap leaves out the preference gate of eq. 1, none the leap gate too: a GRU",
        choices=("both", "leap", "none"),
    )
    inference_gate: str = setting(
        "hard",
        "leap gate at inference; sampled makes scores depend on the batch",
        choices=("hard", "expected", "sampled"),
    )


@dataclasses.dataclass(frozen=True)
class PopularitySettings:
    """Popularity has no settings."""


@dataclasses.dataclass(frozen=True)
class MarkovSettings:
    """The Markov chain has no settings."""


@dataclasses.dataclass(frozen=True)
class ModelEntry:
    """A registered model.

    Attributes:
      settings: Its settings dataclass.
      implementation: `module:class`, imported when the model is made.
      presets: Settings by preset name, of the model and of the training.
    """

    settings: type
    implementation: str
    presets: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    def create(self, num_items: int, settings: Any, **arguments: Any) -> Any:
        """Makes the model; imports TensorFlow."""
        module, _, name = self.implementation.partition(":")
        return getattr(importlib.import_module(module), name)(num_items, settings, **arguments)

    @property
    def is_encoder(self) -> bool:
        """Whether the model is trained by gradients; presets exist for these only."""
        return bool(self.presets)


MODELS: dict[str, ModelEntry] = {
    "hln": ModelEntry(
        HLNSettings,
        "hln_tf.models.hln:HLN",
        presets={
            "paper": {},
            "paper_eq8": {"loss": "equation_8"},
            "tuned": {
                "normalize": True,
                "scale": 12.0,
                "dropout": 0.4,
                "leap_bias": -5.0,
                "batch_size": 256,
                "precision": "bfloat16",
                "learning_rate": 0.002,
                "decay": 0.3,
                "decay_epochs": 2,
                "epochs": 6,
            },
            "demo": {"batch_size": 256, "learning_rate": 0.003, "decay": 0.3, "epochs": 8},
        },
    ),
    "popularity": ModelEntry(PopularitySettings, "hln_tf.models.popularity:Popularity"),
    "markov": ModelEntry(MarkovSettings, "hln_tf.models.markov:Markov"),
}


def model_entry(name: str) -> ModelEntry:
    """The registered model of that name.

    Raises:
      UsageError: There is none; the message lists those that exist.
    """
    if name not in MODELS:
        raise UsageError(f"--model is {name!r}, expected one of: {', '.join(MODELS)}")
    return MODELS[name]
