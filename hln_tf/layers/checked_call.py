"""Checks of the arguments with which layers are called, before Keras sees them."""

import inspect
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from hln_tf.layers.keras_2 import require_keras_2, require_keras_2_caller

# What sequence layers read, for the errors.
EMBEDDINGS = "item embeddings, floats: put an `Embedding` before the layer"


class CheckedCall:
    """A mixin for Keras layers and models whose calls are checked before Keras sees them.

    An error is then one sentence, without Keras' list of the call's arguments.
    Checks happen when a layer is called in Python, so a graph has none.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Check the arguments, and call the layer.

        Raises:
          TypeError: An argument or a calling layer is Keras 3's, or an argument has
            another type.
          ValueError: An argument has another shape.
        """
        names = list(inspect.signature(type(self).call).parameters)[1:]  # type: ignore[attr-defined]
        named = dict(zip(names, args, strict=False)) | kwargs
        for name, value in named.items():
            for part in tf.nest.flatten(value):
                require_keras_2(part, f"`{name}`")
        require_keras_2_caller(type(self).__name__)
        if names[0] in named:
            self.check_call(**named)
        return super().__call__(*args, **kwargs)  # type: ignore[misc]

    def check_call(self, *args: Any, **kwargs: Any) -> None:
        """Check the arguments of `call`, by name; by default nothing."""


def check_floats(name: str, value: Any, meaning: str = "floats") -> None:
    """Check that an argument holds floats, if it is an array or a tensor.

    Args:
      name: Name of the argument.
      value: The argument.
      meaning: What was expected, for the error.

    Raises:
      TypeError: It holds others.
    """
    if hasattr(value, "dtype") and not tf.as_dtype(value.dtype).is_floating:
        dtype = tf.as_dtype(value.dtype).name
        raise TypeError(f"`{name}` must hold {meaning}, received {dtype}")


def check_shape(name: str, value: Any, sizes: Sequence[str | int], hint: str = "") -> None:
    """Check an argument's shape as far as it is known, if it is an array or a tensor.

    Args:
      name: Name of the argument.
      value: The argument.
      sizes: Each axis' size, or its name where any size is allowed.
      hint: Added to the error.

    Raises:
      ValueError: It has another shape.
    """
    if not hasattr(value, "shape"):
        return
    shape = tf.TensorShape(value.shape)
    if not shape.is_compatible_with([None if isinstance(size, str) else size for size in sizes]):
        expected = ", ".join(map(str, sizes))
        raise ValueError(f"`{name}` must have shape [{expected}], received {shape}{hint}")


def sizes_of(value: Any, *names: str) -> list[str | int]:
    """Return the sizes of the first axes of an array or a tensor, their names where unknown."""
    known = tf.TensorShape(getattr(value, "shape", None))
    sizes = [None] * len(names) if known.rank is None else known[: len(names)]
    return [name if size is None else size for name, size in zip(names, sizes, strict=True)]
