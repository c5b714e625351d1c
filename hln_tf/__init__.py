"""Hierarchical Leaping Networks (SIGIR 2020) for session-based recommendation.

TensorFlow Recommenders needs Keras 2, so importing this package selects it
(`TF_USE_LEGACY_KERAS=1`). TensorFlow itself is imported only by the modules
that compute: reading settings or printing `--help` does not wait for it.
"""

import os
import sys

import lazy_loader

from hln_tf.common import __version__ as __version__


def _select_keras_2() -> None:
    """Make `tf.keras` mean Keras 2, or raise an error if it is too late for that."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    tensorflow = sys.modules.get("tensorflow")
    keras_name = tensorflow.keras.__name__ if tensorflow else "tf_keras"
    if not keras_name.startswith("tf_keras") or os.environ["TF_USE_LEGACY_KERAS"].lower() not in (
        "1",
        "true",
    ):
        raise ImportError(
            "hln_tf needs Keras 2, but TensorFlow is set to Keras 3: import hln_tf before "
            "tensorflow, and have TF_USE_LEGACY_KERAS=1 in the environment or unset"
        )


_select_keras_2()


__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
