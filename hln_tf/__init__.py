"""Hierarchical Leaping Networks (SIGIR 2020) for session-based recommendation.

TensorFlow Recommenders needs Keras 2, so importing this package selects it
(`TF_USE_LEGACY_KERAS=1`). TensorFlow itself is imported only by the modules
that compute: reading settings or printing `--help` does not wait for it.
"""

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Recommender", "explain", "load_model"]

if TYPE_CHECKING:
    from hln_tf.explanations import explain
    from hln_tf.recommender import Recommender
    from hln_tf.workdir import load_model


def _select_keras_2() -> None:
    """Makes `tf.keras` mean Keras 2, or says why it is too late for that."""
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


# Where the public names are, imported when they are first asked for.
_PUBLIC = {
    "Recommender": "hln_tf.recommender",
    "explain": "hln_tf.explanations",
    "load_model": "hln_tf.workdir",
}


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
