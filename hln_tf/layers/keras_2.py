"""Checks that Keras objects handed in are Keras 2's, which TensorFlow Recommenders needs."""

from typing import Any


def require_keras_2(value: Any, what: str) -> None:
    """Check that an object is not one of Keras 3.

    Args:
      value: An optimiser, a callback, a layer, a tensor or anything else.
      what: What it is, for the error.

    Raises:
      TypeError: It is Keras 3's.
    """
    for cls in type(value).__mro__:
        if cls.__module__.partition(".")[0] == "keras":
            raise TypeError(
                f"{what} is {type(value).__name__} of Keras 3, but hln_tf runs on Keras 2: "
                f"make it with `import tf_keras as keras`"
            )
