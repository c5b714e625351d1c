"""Collaborative session-based recommendation machine (Wang et al., SIGIR 2019)."""

from typing import Any

import tensorflow as tf

from hln_tf.layers.session_memory import SessionMemory
from hln_tf.layers.sharding import Seed
from hln_tf.models.narm import NARM
from hln_tf.models.settings import CSRMSettings


class CSRM(NARM):
    """NARM, and a memory of the sessions that were trained on last.

    The memory holds the local vectors of sessions, as the authors' code does, and
    is read by the local vector of the session at hand. The vectors g (global), l
    (local) and m (read from memory) are each brought to mean 0 and variance 1,
    and with the scalar gate

        f = sigmoid(w_l^T l + w_m^T m + w_g^T g)

    the session is c = f [g; l] + (1 - f) [m; m].

    Only a step of training writes, see `after_step`: what is evaluated or served
    leaves no trace in the memory, so no target can be read from it and a score
    depends on nothing but the session. Shorter and longer prefixes of a session
    trained on may be there, also one whose last click is the target at hand, as
    with the authors; in training alone. They differ in keeping vectors as the
    dropout of training leaves them, in starting each epoch with an empty memory,
    in going on to write in evaluation, and in a second GRU for the local vector,
    where this is NARM's one.
    """

    settings: CSRMSettings

    def __init__(
        self, num_items: int, settings: CSRMSettings, loss: str = "softmax", **task: Any
    ) -> None:
        super().__init__(num_items, settings, loss, **task)
        n = settings.hidden_dim
        self.memory = SessionMemory(settings.memory_size, n, settings.neighbors)
        # The weights of the gate, w_l, w_m and w_g.
        self.w = self.add_weight(name="w", shape=(3, n), initializer="glorot_uniform")

    def encode_vectors(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """B c, see `SessionEncoder`."""
        last, local = self.encode_session(items, x, training)
        g, l, m = (standardized(part) for part in (last, local, self.memory(local)))  # noqa: E741
        f = tf.sigmoid(tf.einsum("kbn,kn->b", tf.stack([l, m, g]), self.w))[:, None]
        c = f * tf.concat([g, l], axis=1) + (1 - f) * tf.concat([m, m], axis=1)
        return self.decode(c, training, seed)

    def after_step(self, items: tf.Tensor) -> None:
        """Remembers a step's sessions, encoded as they are at inference.

        The next step is the first that can read them.
        """
        _, local = self.encode_session(items, self.lookup(self.candidates(), items), False)
        self.memory.write(local)


def standardized(x: tf.Tensor) -> tf.Tensor:
    """Vectors [batch, n] with mean 0 and variance 1; 0 where all entries are equal."""
    mean, variance = tf.nn.moments(x, axes=[1], keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + 1e-10)
