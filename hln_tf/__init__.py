"""Hierarchical Leaping Networks (SIGIR 2020) for session-based recommendation.

TensorFlow Recommenders needs Keras 2, so importing this package selects it
(`TF_USE_LEGACY_KERAS=1`). TensorFlow itself is imported only by the modules
that compute: reading settings or printing `--help` does not wait for it.
"""

import os
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Recommender", "load_model"]

if TYPE_CHECKING:
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


def __getattr__(name: str) -> Any:
    if name == "Recommender":
        from hln_tf.recommender import Recommender

        return Recommender
    if name == "load_model":
        from hln_tf.workdir import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
