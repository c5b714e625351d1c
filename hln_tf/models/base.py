"""The base of all models: a session in, a score for every item out."""

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras as keras

from hln_tf.common.settings import declared_fields, from_dict, help_text
from hln_tf.data.sessions import Sessions
from hln_tf.layers.catalogue_scores import rank_targets
from hln_tf.layers.checked_call import CheckedCall
from hln_tf.layers.choices import SCORE_MEGABYTES
from hln_tf.layers.keras_2 import require_keras_2
from hln_tf.metrics.ranking import FullCatalogueRanking
from hln_tf.models.batches import Batch, checked_batch, to_sessions
from hln_tf.models.graphs import ITEMS, TARGET, Ranker, compiled_ranker


class Preferences(NamedTuple):
    """The L preference groups that a model finds in sessions.

    Attributes:
      queries: float32 [batch, L, d], each group's clicks as a query embedding;
        zero where the group has none.
      retention: float32 [batch, L, time], probability that each click is in each
        group, 0 at padding.
    """

    queries: tf.Tensor
    retention: tf.Tensor


class BuiltModel(type):
    """The class of models that have all of their weights once they are constructed.

    Keras would create the weights of a subclass of its model at the first call, and
    could not save, clone or set the weights of a model before that.
    """

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Construct a model, and create its weights after its constructors."""
        model = super().__call__(*args, **kwargs)
        model.build()
        return model


class SessionScorer(CheckedCall, tfrs.Model, metaclass=BuiltModel):
    """A Keras model that scores sessions against all items.

    Items are 1 to `num_items`, and 0 is padding, for sessions and targets alike.
    Sessions are int [batch, time], padded anywhere; column i - 1 of the scores
    belongs to item i. `model(items)` and `model.predict(items)` return the scores,
    float32 [batch, items].

    Data for `fit` and `evaluate` are pairs `(items, target)` or dictionaries
    `{"items": ..., "target": ...}`, as arrays or as the batches of a `tf.data`
    data set: `items` as above, `target` int [batch] or [batch, 1], the item index
    that follows. `sample_weight` of `fit`, a third part of the tuples, or `weight`
    of the dictionaries, float [batch], weights the examples. Recall and MRR at 5,
    10 and 20 over the whole catalogue are tracked metrics: `evaluate` returns them
    by the names `recall@20`, `mrr@20` and so on, `fit(validation_data=...)` by
    `val_mrr@20`. Callbacks that monitor one need `mode="max"`.

    It is a model of Keras 2: make optimisers, callbacks and layers around it with
    `import tf_keras as keras`, or `from tensorflow import keras` after
    `import hln_tf`; those of `import keras`, which is Keras 3, are refused.

    Optional abilities are declared by defining `encode` or `preferences`; an
    export has the signatures `embed` and `explain` accordingly.

    The docstring of a subclass gets the arguments of its constructor, those below
    and the fields of its `Settings`.

    Attributes:
      settings: The model's settings.
      item_counts: int64 [items], clicks on each item in training.
      encode: Query embeddings of sessions, float32 [batch, d], whose dot products
        with `item_embeddings` are the scores; None where there are none.
      preferences: The `Preferences` of sessions, their queries in the same space.
      workdir: Path of the run whose weights it has, where it was loaded from one.

    Raises:
      TypeError: An argument is unknown.
      ValueError: An argument is not allowed.
    """

    Settings: ClassVar[type]
    # Descriptions of the arguments of the constructor that are no settings.
    ARGUMENTS: ClassVar[dict[str, str]] = {
        "num_items": "Size of the catalogue, whose items are 1 to `num_items`.",
        "score_megabytes": "Memory for scores at a time when targets are ranked.",
        "name": "Name of the model.",
    }

    encode: Callable[..., tf.Tensor] | None = None
    preferences: Callable[[tf.Tensor], Preferences] | None = None
    workdir: str | None = None
    built: bool

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "target_ranks" in vars(cls) and "rank_targets" not in vars(cls):
            raise TypeError(
                f"{cls.__name__} overrides `target_ranks`, which is part of `rank_targets`: "
                f"override that, to return ranks and scores"
            )
        if hasattr(cls, "Settings"):
            if not (isinstance(cls.Settings, type) and dataclasses.is_dataclass(cls.Settings)):
                raise TypeError(
                    f"`Settings` of {cls.__name__} is no dataclass: decorate it with "
                    f"@dataclasses.dataclass(frozen=True)"
                )
            cls.__signature__ = _OfClass(_signature(cls))
            if vars(cls).get("__doc__"):
                cls.__doc__ = f"{inspect.cleandoc(vars(cls)['__doc__'])}\n\n{_arguments(cls)}"

    def __init__(
        self,
        num_items: int,
        *,
        score_megabytes: int = SCORE_MEGABYTES,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(name=name)
        for argument, size in (("num_items", num_items), ("score_megabytes", score_megabytes)):
            if not isinstance(size, int | np.integer) or size < 1:
                raise ValueError(
                    f"`{argument}` must be an integer of at least 1, received {size!r}"
                )
        self.num_items = int(num_items)
        known = [field.name for field in dataclasses.fields(self.Settings)]
        for argument in settings:
            if argument not in known:
                raise TypeError(
                    f"{type(self).__name__}() got an unexpected argument {argument!r}"
                    f"{self._hint(argument)}; it takes "
                    f"{', '.join(inspect.signature(type(self)).parameters)}"
                )
        self.settings: Any = from_dict(self.Settings, settings, type(self).__name__)
        self.item_counts = tf.Variable(
            tf.zeros([num_items], tf.int64), trainable=False, name="item_counts"
        )
        # Keras and TensorFlow would track attributes of the model's own. Metrics are no part of
        # its weights, and to save them would be a collective operation of all workers.
        self._untracked = types.SimpleNamespace(
            ranking=FullCatalogueRanking(megabytes=int(score_megabytes))
        )

    def _hint(self, argument: str) -> str:
        """Return where an unknown argument of the constructor belongs, if anywhere."""
        return ""

    @property
    def ranking(self) -> FullCatalogueRanking:
        """Recall and MRR over the whole catalogue."""
        return self._untracked.ranking

    def scores(self, items: tf.Tensor) -> tf.Tensor:
        """Score all items for each session, float32 [batch, items]."""
        raise NotImplementedError(f"{type(self).__name__} must define `scores`")

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """Score all items for sessions, or for the `items` of a batch."""
        return self.scores(self._checked_batch(inputs, needs_target=False)["items"])

    def fit_counts(self, sessions: Any) -> Sessions:
        """Count the clicks of each item, for popularity.

        Models that learn by counting alone override this and count more.

        Args:
          sessions: A list with each session's item indices, an int array
            [sessions, time] padded with 0, or `hln_tf.data` sessions.

        Returns:
          The sessions in columns.

        Raises:
          TypeError: It is no collection of sessions of integers.
          ValueError: An item index is out of range.
        """
        sessions = to_sessions(sessions, self.num_items)
        counts = np.bincount(sessions.items, minlength=self.num_items + 1)[1:]
        self.item_counts.assign(counts)
        return sessions

    def rank_targets(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Rank each example's target among all items.

        Args:
          batch: `items` int32 [batch, time], padded with 0, and `target` int32 [batch].

        Returns:
          The targets' ranks from 1, int32 [batch], and their scores, float32 [batch].
        """
        return rank_targets(self.scores(batch["items"]), batch["target"] - 1)

    def target_ranks(self, batch: Batch) -> tf.Tensor:
        """Compute the ranks of `rank_targets` alone."""
        return self.rank_targets(batch)[0]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The tracked metrics, which Keras resets before each epoch and evaluation."""
        return list(self.ranking.metrics_at_k)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Rank a batch's targets among all items."""
        batch = self._checked_batch(data)
        self.ranking.update_from_ranks(self.target_ranks(batch), batch.get("weight"))
        return {metric.name: metric.result() for metric in self.metrics}

    def predict_step(self, data: Any) -> tf.Tensor:
        """Score all items for a batch, of which a target is ignored."""
        return self.scores(self._checked_batch(data, needs_target=False)["items"])

    @functools.cached_property
    def compiled_rank_targets(self) -> Ranker:
        """`rank_targets` as a function of items and targets, one graph for all lengths."""
        return compiled_ranker(self.rank_targets, [ITEMS, TARGET], self)

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: None = None,
        metrics: None = None,
        loss_weights: None = None,
        weighted_metrics: None = None,
        **kwargs: Any,
    ) -> None:
        """Configure training; as Keras' own, with a check of the Keras version.

        Args:
          optimizer: An optimiser of tf_keras.
          loss: None: the loss is an argument of the model.
          metrics: None: the metrics are Recall and MRR.
          loss_weights: None.
          weighted_metrics: None.
          **kwargs: Others of `keras.Model.compile`.

        Raises:
          TypeError: The optimiser is Keras 3's, or there is a loss or a metric.
        """
        require_keras_2(optimizer, "`optimizer`")
        for name, value in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            if value:
                raise TypeError(
                    f"`{name}` of `compile` are not computed: {type(self).__name__} has Recall "
                    f"and MRR over the whole catalogue"
                )
        if loss is not None or loss_weights is not None:
            raise TypeError(
                f"the loss is an argument of the model, {type(self).__name__}(num_items, "
                f"loss=...), not of `compile`"
            )
        super().compile(optimizer=optimizer, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile a model that is being loaded, as it was when it was saved."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if hasattr(self.optimizer, "build") and self.trainable_variables:  # legacy ones have none
            self.optimizer.build(self.trainable_variables)

    def build(self, input_shape: Any = None) -> None:
        """Create all weights; no shape is needed, as none depends on it."""
        if not self.built:
            for name, value in vars(self).items():
                require_keras_2(value, f"`{name}` of {type(self).__name__}")
            self.built = True
            with tf.init_scope():
                scores = self.scores(tf.zeros([1, 1], tf.int32))
            check_returned(scores, self.num_items, f"`scores` of {type(self).__name__}")

    def get_build_config(self) -> dict[str, Any]:
        """Return the shape of sessions; integer inputs have a `build` of their own."""
        return {"input_shape": [None, None]}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Create all weights of a model that is being loaded."""
        self.build()

    def save_spec(self, dynamic_batch: bool = True) -> tuple[list[Any], dict[str, Any]]:
        """Return the inputs of a SavedModel: any batch and any length, whatever was seen first."""
        return [ITEMS], {}

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal model with other weights."""
        return {
            "name": self.name,
            "num_items": self.num_items,
            "score_megabytes": self.ranking.megabytes,
            **dataclasses.asdict(self.settings),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "SessionScorer":
        """Make a model from what `get_config` returned."""
        return cls(**config)

    def _checked_batch(self, data: Any, needs_target: bool = True) -> Batch:
        """Convert and check a batch, see `checked_batch`."""
        self.build()
        return checked_batch(data, self.num_items, type(self).__name__, needs_target)


def check_returned(tensor: Any, width: int, what: str) -> None:
    """Check what a method of a model returned, [batch, width].

    Args:
      tensor: What it returned.
      width: Size of the second axis.
      what: The method and its model, for the error.

    Raises:
      ValueError: It is no tensor, or has another shape.
    """
    shape = getattr(tensor, "shape", None)
    if shape is None:
        raise ValueError(f"{what} returned {tensor!r}, expected a tensor [batch, {width}]")
    if shape.rank not in (None, 2) or (shape.rank == 2 and shape[1] not in (None, width)):
        raise ValueError(f"{what} returned {list(shape)}, expected [batch, {width}]")


def check_callbacks(callbacks: Any) -> None:
    """Check the callbacks of `fit`.

    Args:
      callbacks: A callback, a list of them, a `CallbackList`, or None.

    Raises:
      TypeError: One is Keras 3's.
      ValueError: One would minimise Recall or MRR, as Keras' mode `auto` does.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    for callback in tf.nest.flatten(callbacks):
        require_keras_2(callback, "a callback")
        monitor = getattr(callback, "monitor", None) or ""
        is_ratio = "recall@" in monitor or "mrr@" in monitor
        minimises = getattr(callback, "monitor_op", None) is np.less
        if isinstance(callback, keras.callbacks.ReduceLROnPlateau):
            minimises = callback.mode != "max"
        if is_ratio and minimises:
            raise ValueError(
                f"{type(callback).__name__}(monitor={monitor!r}) would minimise it: pass mode='max'"
            )


class _OfClass:
    """A value that a class has and its instances have not.

    Whoever calls a model, such as `tf.function(model)`, looks for its signature, which is
    not the constructor's.

    Args:
      value: The value.
    """

    def __init__(self, value: Any) -> None:
        self._value = value

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is not None:
            raise AttributeError(f"{owner.__name__} has it for the class alone")
        return self._value


def _signature(cls: type[SessionScorer]) -> inspect.Signature:
    """Return the constructor's signature with the settings by name, for `help` and tools."""
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("num_items", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    for field in dataclasses.fields(cls.Settings):
        parameters.append(
            inspect.Parameter(field.name, kind, default=field.default, annotation=field.type)
        )
    for base in cls.__mro__:
        for parameter in inspect.signature(vars(base).get("__init__", cls)).parameters.values():
            if parameter.kind is kind and parameter.name not in {p.name for p in parameters}:
                parameters.append(parameter)
        if base is SessionScorer:
            break
    return inspect.Signature(parameters)


def _arguments(cls: type[SessionScorer]) -> str:
    """Describe the constructor's arguments for the class's docstring."""
    texts = dict(cls.ARGUMENTS)
    texts |= {field.name: help_text(field) for field in declared_fields(cls.Settings)}
    known = [name for name in inspect.signature(cls).parameters if name in texts]
    title = "Keyword Args" if "Args:\n" in (cls.__doc__ or "") else "Args"
    return "\n".join([f"{title}:", *(f"  {name}: {texts[name]}" for name in known)])
