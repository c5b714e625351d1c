"""Collaborative session-based recommendation machine (Wang et al., SIGIR 2019)."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.noise import Seed
from hln_tf.layers.session_memory import SessionMemory
from hln_tf.models.narm import NARM
from hln_tf.models.settings import CSRMSettings


@keras.utils.register_keras_serializable("hln_tf")
class CSRM(NARM):
    """NARM with a memory of the sessions that were trained on last.

    The memory stores the local encodings of sessions, as the authors' code does,
    and is read by that of the current session. The encodings g (global), l (local)
    and m (read from memory) are each standardised, and with the scalar gate

        f = sigmoid(w_l^T l + w_m^T m + w_g^T g)

    the session is c = f [g; l] + (1 - f) [m; m].

    Only a step of training writes, see `after_step`: evaluation and serving leave
    the memory unchanged, so no target can be read from it and a score depends on
    the session alone. In training, shorter and longer prefixes of a session may
    be in the memory, also one whose last click is the current target, as with the
    authors. They differ in storing encodings after dropout, in starting each
    epoch with an empty memory, in writing in evaluation too, and in a second GRU
    for the local encoding, where this has NARM's one.
    """

    Settings = CSRMSettings

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)
        n = self.settings.hidden_dim
        self.memory = SessionMemory(self.settings.memory_size, n, self.settings.neighbors)
        # The weights of the gate, w_l, w_m and w_g.
        self.w = self.add_weight(name="w", shape=(3, n), initializer="glorot_uniform")

    def encode_embeddings(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """B c, see `SessionEncoder`."""
        last, local = self.encode_session(items, x, training)
        g, l, m = (standardized(part) for part in (last, local, self.memory(local)))  # noqa: E741
        f = tf.sigmoid(tf.einsum("kbn,kn->b", tf.stack([l, m, g]), self.w))[:, None]
        c = f * tf.concat([g, l], axis=1) + (1 - f) * tf.concat([m, m], axis=1)
        return self.decode(c, training, seed)

    def after_step(self, items: tf.Tensor) -> None:
        """Store a step's sessions in the memory, encoded as at inference.

        The next step is the first that can read them.
        """
        _, local = self.encode_session(items, self.lookup(self.item_embeddings(), items), False)
        self.memory.write(local)


def standardized(x: tf.Tensor) -> tf.Tensor:
    """Standardise each row of [batch, n] to mean 0 and variance 1; 0 where all are equal."""
    mean, variance = tf.nn.moments(x, axes=[1], keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + 1e-10)
