"""Compilation of a model's functions as graphs."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras as keras

from hln_tf.layers.sharding import replica_part
from hln_tf.models.batches import Batch

ITEMS = tf.TensorSpec([None, None], tf.int32, name="items")
TARGET = tf.TensorSpec([None], tf.int32, name="target")
PREFIX_TARGETS = tf.TensorSpec([None, None], tf.int32, name="target")
# A function of items and targets that returns the targets' ranks and scores.
Ranker = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
# Packages whose code has no Python control flow on tensors, or converts its own.
_CONVERTED = frozenset(
    [
        "builtins",
        "hln_tf",
        "keras",
        "tensorflow",
        "tensorflow_probability",
        "tensorflow_recommenders",
        "tf_keras",
        "typing",
    ]
)


def compiled(function: Callable[..., Any], signature: Sequence[Any], model: tf.Module) -> Any:
    """Compile a function that belongs to one model, with one graph for all of its calls.

    TensorFlow warns of frequent tracing by the code of a function, so that the
    functions of one model after another look like one that is traced again and again;
    a partial is counted by itself.

    Args:
      function: Returns tensors.
      signature: The specs of its arguments.
      model: The model whose code it calls.
    """
    own: Any = functools.partial(function)
    own.__name__ = getattr(function, "__name__", type(function).__name__)  # shown by profiles
    return tf.function(own, input_signature=signature, autograph=needs_autograph(model))


def compiled_ranker(
    rank: Callable[[Batch], tuple[tf.Tensor, tf.Tensor]],
    signature: Sequence[tf.TensorSpec],
    model: keras.Model,
) -> Ranker:
    """Compile a function of items and targets that ranks them; the replicas share a batch.

    Args:
      rank: From a batch to ranks and scores, a row of each for each row of the batch.
      signature: The specs of items and targets.
      model: The model whose code it calls.
    """
    strategy = model.distribute_strategy

    def rank_part(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        return rank(replica_part(batch)[0])

    def rank_batch(items: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, ...]:
        found = strategy.run(rank_part, args=({"items": items, "target": target},))
        if strategy.num_replicas_in_sync == 1:
            return found
        # The last replicas may have filled up their part.
        rows = tf.shape(target)[0]
        return tuple(strategy.gather(part, axis=0)[:rows] for part in found)

    return compiled(rank_batch, signature, model)


def needs_autograph(model: tf.Module) -> bool:
    """Check whether a model may hold code for AutoGraph to convert.

    The code of this package is traced in less than half the time without it. A model,
    layer or loss of one's own may branch on tensors, as in any Keras model, and TFRS'
    retrieval task does.

    Args:
      model: The model; its layers and its loss are looked at, too.
    """
    classes = {cls for part in (model, *model.submodules) for cls in type(part).__mro__}
    return any(
        cls.__module__.partition(".")[0] not in _CONVERTED or cls is tfrs.tasks.Retrieval
        for cls in classes
    )
