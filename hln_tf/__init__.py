"""Hierarchical Leaping Networks (SIGIR 2020) for session-based recommendation.

Start with `help(hln_tf.Recommender)`:

    recommender = hln_tf.Recommender.fit(clicks, session="visit", item="sku", time="ts")
    recommender.recommend([["a", "b"], ["c"]], k=10, exclude_seen=True)
    print(recommender.explain([["a", "b"]])[0])
    recommender.evaluate(later_clicks, session="visit", item="sku", time="ts")
    recommender.save("runs/mine")  # hln_tf.load("runs/mine") opens it

`clicks` is a DataFrame with a click in each row. `help(hln_tf.HLNSettings)`,
`help(hln_tf.TrainingSettings)` and `help(hln_tf.ProtocolSettings)` list the settings of
`fit`, `hln_tf.register_model` adds a model of your own, `hln_tf.layers` and
`hln_tf.models` are Keras layers and models.

TensorFlow Recommenders needs Keras 2, so importing this package selects it
(`TF_USE_LEGACY_KERAS=1`): after it `from tensorflow import keras` is Keras 2, as
`import tf_keras as keras` is; `import keras` is Keras 3, whose models and layers do not
work with those of this package. TensorFlow itself is imported only by the modules
that compute: reading settings or printing `--help` does not wait for it.
"""

import os
import sys

import lazy_loader

from hln_tf.common import __version__ as __version__


def _select_keras_2() -> None:
    """Make `tf.keras` mean Keras 2, or raise an error that names the remedy."""
    choice = os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    if choice.lower() not in ("1", "true"):
        raise ImportError(
            f"hln_tf needs Keras 2, but TF_USE_LEGACY_KERAS is {choice!r}: set it to 1, or unset it"
        )
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow and not tensorflow.keras.__name__.startswith("tf_keras"):
        raise ImportError(
            "hln_tf needs Keras 2, but tf.keras is Keras 3 in this process: start Python again and "
            "put `import hln_tf` (or TF_USE_LEGACY_KERAS=1 in the environment) before the first "
            "use of tensorflow"
        )


_select_keras_2()


__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
