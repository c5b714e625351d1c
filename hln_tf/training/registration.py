"""Registration of models of one's own."""

import dataclasses
import inspect
import re
from collections.abc import Mapping
from typing import Any

from hln_tf.common.errors import UsageError
from hln_tf.models.base import SessionScorer
from hln_tf.models.counter import SessionCounter
from hln_tf.models.encoder import SessionEncoder
from hln_tf.models.entry import ModelEntry
from hln_tf.models.registry import MODELS, model_names
from hln_tf.models.settings import EncoderSettings
from hln_tf.training.settings import TrainingSettings


def register_model(
    name: str, model: type, presets: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Register a model of one's own, for this process.

    It trains, tunes, exports and serves like the package's own: `Recommender.fit` takes
    its name, and a process that loads it registers it first. A package makes its models
    known to every process by the entry-point group `hln_tf.models`, whose entries name
    a `ModelEntry` in a module without TensorFlow:

        [project.entry-points."hln_tf.models"]
        bag = "my_package.registry:BAG"

    Its class derives from `SessionEncoder` and defines `encode_embeddings`, or from
    `SessionCounter` and defines `scores`, and has `Settings`: a frozen dataclass, whose
    fields are the model's settings. Those of an encoder derive from `EncoderSettings`,
    or are it. Fields that are made with `hln_tf.common.settings.setting` become flags
    of the commands too.

    Args:
      name: Its name, as for `model=` and `--model`: letters, digits, `_` and `-`.
      model: Its class.
      presets: Settings by preset name, of the model and its training; `paper`,
        which has the defaults, if there are none.

    Raises:
      UsageError: There is another model of that name, it is no name, or a preset has
        an unknown setting.
      TypeError: The class is no model, or lacks one of its parts.

    Example:
    >>> import dataclasses
    >>> from hln_tf.layers import mean_of_clicks
    >>> from hln_tf.models import EncoderSettings, SessionCounter, SessionEncoder
    >>> @dataclasses.dataclass(frozen=True)
    ... class BagSettings(EncoderSettings):
    ...     factor: float = 1.0
    >>> class Bag(SessionEncoder):
    ...     Settings = BagSettings
    ...     def encode_embeddings(self, items, x, training, seed):
    ...         return self.settings.factor * mean_of_clicks(x, items)
    >>> register_model("bag", Bag, presets={"paper": {"factor": 2.0, "epochs": 5}})

    A model that counts; `fit_counts` of the base counts the clicks of each item:

    >>> @dataclasses.dataclass(frozen=True)
    ... class NoSettings:
    ...     pass
    >>> class Clicks(SessionCounter):
    ...     Settings = NoSettings
    ...     def scores(self, items):
    ...         counts = tf.cast(self.item_counts, tf.float32)
    ...         return tf.repeat(counts[None], tf.shape(items)[0], axis=0)
    >>> register_model("clicks", Clicks)
    >>> hln_tf.models.model_names()[-2:]
    ('bag', 'clicks')
    """
    if not isinstance(name, str) or not re.fullmatch("[A-Za-z][A-Za-z0-9_-]*", name):
        raise UsageError(
            f"`name` is {name!r}, expected letters, digits, _ and -, such as 'my_model'"
        )
    if not (isinstance(model, type) and issubclass(model, SessionEncoder | SessionCounter)):
        shown = model.__name__ if isinstance(model, type) else repr(model)
        raise TypeError(
            f"`model` is {shown}, expected a class derived from hln_tf.models.SessionEncoder or "
            f"hln_tf.models.SessionCounter"
        )
    _check_settings_class(model)
    _check_method(model)
    if name in model_names() and not _is_same_class(name, model):
        raise UsageError(f"there is a model {name!r} already: register under another name")
    chosen = {preset: dict(values) for preset, values in (presets or {"paper": {}}).items()}
    entry = ModelEntry(model.Settings, model, chosen)
    entry.check_presets([field.name for field in dataclasses.fields(TrainingSettings)])
    MODELS[name] = entry


def _check_settings_class(model: type[SessionScorer]) -> None:
    """Check that a model's settings are a frozen dataclass, and of its kind of model."""
    settings = getattr(model, "Settings", None)
    is_class = isinstance(settings, type) and dataclasses.is_dataclass(settings)
    is_frozen = is_class and settings.__dataclass_params__.frozen  # type: ignore[union-attr]
    is_encoder = issubclass(model, SessionEncoder)
    if is_encoder and not (is_frozen and issubclass(settings, EncoderSettings)):  # type: ignore[arg-type]
        raise TypeError(
            f"{model.__name__} needs `Settings`, a frozen dataclass derived from "
            f"hln_tf.models.EncoderSettings: write Settings = EncoderSettings if it has no "
            f"settings of its own"
        )
    if not is_encoder and not (is_frozen and not issubclass(settings, EncoderSettings)):  # type: ignore[arg-type]
        raise TypeError(
            f"{model.__name__} needs `Settings`, a frozen dataclass not derived from "
            f"EncoderSettings, as the model counts: one without fields if it has no settings"
        )


def _check_method(model: type[SessionScorer]) -> None:
    """Check that a model defines the method that makes it one, with its arguments."""
    base: type[SessionScorer]
    base, name = SessionScorer, "scores"
    if issubclass(model, SessionEncoder):
        base, name = SessionEncoder, "encode_embeddings"
    method, defined = getattr(model, name), getattr(base, name)
    arguments = list(inspect.signature(defined).parameters)
    expected = f"`{name}({', '.join(arguments)})`"
    if method is defined:
        raise TypeError(f"{model.__name__} must define {expected}")
    try:
        inspect.signature(method).bind(*arguments)
    except TypeError:
        raise TypeError(
            f"`{name}` of {model.__name__} takes other arguments: define {expected}"
        ) from None


def _is_same_class(name: str, model: type) -> bool:
    """Check that a class is the registered one, or its later definition in a notebook."""
    registered = MODELS[name].implementation if name in MODELS else None
    if not isinstance(registered, type):
        return registered == f"{model.__module__}:{model.__qualname__}"
    names = ((each.__module__, each.__qualname__) for each in (registered, model))
    return len(set(names)) == 1
