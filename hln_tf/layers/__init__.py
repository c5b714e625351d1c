"""The parts of the models as Keras layers, all of them layers of Keras 2.

`import tf_keras as keras`, or `from tensorflow import keras` after `import hln_tf`,
for layers and models around them; `import keras` is Keras 3, which does not train
their weights and is refused.

- `LeapRecurrentUnit`: `keras.layers.RNN` over the cell, with a fast path.
- `LeapRecurrentCell`: one step, a cell for `keras.layers.RNN`.
- `LeapGate` and `RelaxedBernoulli`: the leap gate and its distribution.
- `PreferenceManager`: the aggregate of the preferences of several passes.
- `GRU`: a GRU whose state stays as it is at padding.
- `SessionAttention`: attention of the last state to all states.
- `SessionMemory`: a memory of the latest sessions.
- `last_click`, `mean_of_clicks`: a vector of a session from those of its clicks.
- `target_ranks`: the rank of each target among all scores.

Names are imported on first use, and all of them on the first use of any. A program
that loads a Keras model with these layers uses one first, which registers all, such as

    from hln_tf.layers import LeapRecurrentUnit

`import hln_tf` alone imports no TensorFlow, so it registers none.
"""

from typing import Any

import lazy_loader

_import, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Import a public name, and with it all others, which registers every layer with Keras."""
    if name in __all__:
        globals().update({each: _import(each) for each in __all__})
        return globals()[name]
    return _import(name)
