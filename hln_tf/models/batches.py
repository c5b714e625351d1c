"""Data as Keras' verbs take them: checked batches of examples, and sessions to count."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hln_tf.data.sessions import Sessions

Batch = dict[str, Any]

SHAPES = {"items": "[batch, time]", "target": "[batch]"}


def to_batch(data: Any) -> Batch:
    """Name the parts of a batch: of a dictionary, of a pair or triple, or the items alone."""
    if isinstance(data, Mapping):
        return dict(data)
    if isinstance(data, tuple | list):
        parts = zip(("items", "target", "weight"), data, strict=False)
        return {name: part for name, part in parts if part is not None}
    return {"items": data}


def checked_batch(data: Any, num_items: int, model: str, needs_target: bool = True) -> Batch:
    """Convert to a batch with int32 `items` and `target`, and check their item indices.

    Args:
      data: A dictionary, a pair, a triple, or items alone.
      num_items: Size of the catalogue.
      model: Name of the model, for errors.
      needs_target: Whether there must be a target; else it stays as it is.

    Raises:
      TypeError: A part is missing, ragged or not of integers.
      ValueError: A part has another rank, as far as it is known.
      tf.errors.InvalidArgumentError: An item index is out of range, or a rank that
        was not known is another.
    """
    batch = to_batch(data)
    for name in SHAPES if needs_target else ("items",):
        if name not in batch:
            raise TypeError(
                f"{model} takes batches of {{'items', 'target'}} or pairs (items, target), "
                f"received no `{name}`"
            )
        if isinstance(batch[name], tf.RaggedTensor):
            raise TypeError(
                f"`{name}` must be dense, padded with 0, received a RaggedTensor: call "
                f"`.to_tensor()`"
            )
        part = tf.convert_to_tensor(batch[name])
        if not part.dtype.is_integer:
            raise TypeError(
                f"`{name}` must hold item indices, integers, received {part.dtype.name}"
            )
        part = _sessions(part) if name == "items" else _targets(part)
        batch[name] = _in_catalogue(tf.cast(part, tf.int32), name, num_items)
    return batch


def _sessions(items: tf.Tensor) -> tf.Tensor:
    """Check that items have rank 2; sessions of no time step get one of padding."""
    if items.shape.rank is None:
        items = _checked("items", tf.rank(items) == 2, items, [None, None])
    if items.shape.rank != 2:
        raise ValueError(_wrong_shape("items", items.shape))
    if items.shape[1] in (None, 0):
        padding = tf.cast(tf.shape(items)[1] == 0, tf.int32)
        items = tf.pad(items, [[0, 0], [0, padding]])
    return items


def _targets(target: tf.Tensor) -> tf.Tensor:
    """Check that targets have rank 1, or one in each row, and return them with rank 1."""
    if target.shape.rank is None or target.shape[1:].as_list() == [None]:
        is_column = tf.size(target) == tf.shape(target)[0]
        return tf.reshape(_checked("target", is_column, target, None), [-1])
    if target.shape[1:].as_list() not in ([], [1]) or target.shape.rank == 0:
        raise ValueError(_wrong_shape("target", target.shape))
    return target if target.shape.rank == 1 else tf.squeeze(target, axis=1)


def _wrong_shape(name: str, shape: Any = "") -> str:
    return f"`{name}` must have shape {SHAPES[name]}, received {shape}"


def _checked(name: str, is_allowed: tf.Tensor, part: tf.Tensor, shape: Any) -> tf.Tensor:
    """Check a shape that is known at run time alone, before anything reads the part."""

    def fail() -> tf.Tensor:
        check = tf.debugging.Assert(False, [_wrong_shape(name), tf.shape(part)])
        with tf.control_dependencies([check]):
            return tf.zeros([1, 1], part.dtype)

    part = tf.cond(is_allowed, lambda: part, fail)
    part.set_shape(shape)
    return part


def _in_catalogue(part: tf.Tensor, name: str, num_items: int) -> tf.Tensor:
    """Check item indices at run time; an error names the part and what was expected."""
    lowest, meaning = (1, "") if name == "target" else (0, ", where 0 is padding")
    message = (
        f"`{name}` has an item index out of range, expected {lowest} to {num_items}{meaning}, "
        f"received from"
    )
    low, high = tf.reduce_min(part), tf.reduce_max(part)
    is_allowed = tf.reduce_all((part >= lowest) & (part <= num_items))
    if tf.executing_eagerly():
        if not is_allowed:
            raise tf.errors.InvalidArgumentError(None, None, f"{message} {low} to {high}")
        return part
    check = tf.debugging.Assert(is_allowed, [message, low, "to", high])
    with tf.control_dependencies([check]):
        return tf.identity(part)


def epoch(
    x: Any, y: Any = None, steps: int | None = None, validation_split: float | None = None
) -> Iterator[Batch] | None:
    """Return the batches of an epoch of `fit` as NumPy arrays, in a pass of its own.

    Args:
      x: As for `keras.Model.fit`.
      y: As for `keras.Model.fit`.
      steps: Steps of an epoch, for a data set that may be infinite.
      validation_split: The share of arrays, from their end, that is not trained on.

    Returns:
      None for what can be passed over once only, such as a generator.
    """
    if isinstance(x, tf.data.Dataset):
        x = x if steps is None else x.take(steps)
        return map(to_batch, x.as_numpy_iterator())
    if isinstance(x, keras.utils.Sequence):
        return (to_batch(x[step]) for step in range(len(x)))
    batch = to_batch(x) if y is None else {"items": x, "target": y}
    if not all(hasattr(part, "shape") for part in batch.values()):
        return None
    batch = {name: np.asarray(part) for name, part in batch.items()}
    if validation_split:
        batch = {
            name: part[: math.floor(len(part) * (1 - validation_split))]
            for name, part in batch.items()
        }
    return iter([batch])


def targets_of(batches: Iterable[Batch], num_items: int) -> Sessions:
    """Collect the targets of batches, as sessions of one click each.

    What is no item index is ignored: training reports it.
    """
    found = [np.asarray(batch.get("target", [])).ravel() for batch in batches]
    whole = [part for part in found if np.issubdtype(part.dtype, np.integer)]
    targets = np.concatenate([np.empty(0, np.int64), *whole])
    targets = targets[(targets >= 1) & (targets <= num_items)]
    return to_sessions(targets[:, None], num_items)


def to_sessions(sessions: Any, num_items: int) -> Sessions:
    """Convert to sessions, dated in their order; those without a click are left out.

    Args:
      sessions: `Sessions`, a list with each session's item indices, or an int array
        [sessions, time]; 0 is padding.
      num_items: Size of the catalogue.

    Raises:
      TypeError: It is no collection of sessions of integers.
      ValueError: An item index is out of range.
    """
    if isinstance(sessions, Sessions):
        return sessions
    if isinstance(sessions, tf.RaggedTensor):
        sessions = sessions.to_list()
    if hasattr(sessions, "shape"):
        return sessions_of_blocks([np.asarray(sessions)], num_items)
    if sessions is None or isinstance(sessions, str | Mapping | tf.data.Dataset):
        raise TypeError(_no_sessions(type(sessions).__name__))
    try:
        rows = [np.asarray(row) for row in sessions]
    except (TypeError, ValueError):
        raise TypeError(_no_sessions(type(sessions).__name__)) from None
    for row in rows:
        if row.ndim != 1:
            raise TypeError(_no_sessions(f"a list of arrays {list(row.shape)}"))
    return _join(rows, [len(row) for row in rows], num_items)


def sessions_of_blocks(blocks: Iterable[np.ndarray], num_items: int) -> Sessions:
    """Join blocks of sessions, each int [sessions, time], padded with 0; see `to_sessions`."""
    flat, lengths = [], []
    for block in blocks:
        if block.ndim != 2:
            raise TypeError(_no_sessions(f"an array {list(block.shape)}"))
        flat.append(block.ravel())
        lengths += [block.shape[1]] * len(block)
    return _join(flat, lengths, num_items)


def _join(parts: list[np.ndarray], lengths: list[int], num_items: int) -> Sessions:
    """Make sessions of these lengths from parts of their concatenation, less the padding."""
    for part in parts:
        if part.size and not np.issubdtype(part.dtype, np.integer):
            raise TypeError(_no_sessions(part.dtype))
    flat = np.concatenate([np.empty(0, np.int64), *(part for part in parts if part.size)])
    if flat.size and not 0 <= flat.min() <= flat.max() <= num_items:
        raise ValueError(
            f"sessions have an item index out of range, expected 0 to {num_items}, where 0 is "
            f"padding, received from {flat.min()} to {flat.max()}"
        )
    of_clicks = np.repeat(np.arange(len(lengths)), lengths)[flat != 0]
    counts = np.bincount(of_clicks, minlength=len(lengths))
    counts = counts[counts > 0]
    return Sessions(
        items=flat[flat != 0].astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        dates=np.arange(len(counts), dtype=np.int64),
    )


def _no_sessions(received: Any) -> str:
    return (
        f"sessions must be a list with each session's item indices, or int [sessions, time] "
        f"padded with 0, received {received}"
    )
