"""Checks that Keras objects handed in are Keras 2's, which TensorFlow Recommenders needs."""

import inspect
import sys
from typing import Any

import tensorflow as tf


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


@tf.autograph.experimental.do_not_convert
def require_keras_2_caller(name: str) -> None:
    """Check that no layer of Keras 3 is being made from a layer, or is calling it.

    A layer of Keras 3 hands plain tensors on, but does not find the weights of a
    layer of Keras 2: it would train none of them, and report nothing.

    Args:
      name: Name of the layer's class, for the error.

    Raises:
      TypeError: One is.
    """
    if "keras" not in sys.modules:  # Keras 2 is tf_keras
        return
    frame = inspect.currentframe()
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if frame.f_code.co_name in ("__call__", "__init__") and module.startswith("keras."):
            require_keras_2(frame.f_locals.get("self"), f"the layer around {name}")
        frame = frame.f_back
