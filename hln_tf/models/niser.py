"""Normalised item and session representations (Gupta et al., 2019)."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.item_table import mask_padding
from hln_tf.layers.noise import Seed
from hln_tf.models.settings import NISERSettings
from hln_tf.models.sr_gnn import SRGNN


@keras.utils.register_keras_serializable("hln_tf")
class NISER(SRGNN):
    """NISER+: SR-GNN with normalised embeddings, positions and dropout.

    Item embeddings have the length 1, in the session's graph and where they score,
    and so has the session's encoding; a score is their cosine times a scale. The
    `+` are dropout of the item embeddings and an embedding P_t that is added to the
    state of the t-th click's item after the graph network; the clicks after the
    last of the `positions` share the last one's.

    The authors' scale is a constant; here it starts at that value and is learnt, as
    in all models with `normalize`.
    """

    Settings = NISERSettings

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)
        d = self.settings.embedding_dim
        start = keras.initializers.RandomUniform(-(d**-0.5), d**-0.5)
        shape = (self.settings.positions, d)
        self.P = self.add_weight(name="P", shape=shape, initializer=start)

    def encode_embeddings(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """W_3 [v_t; s_g] of states with positions, see `SessionEncoder`."""
        earlier = tf.cumsum(tf.cast(items > 0, tf.int32), axis=1, exclusive=True)
        positions = tf.gather(self.P, tf.minimum(earlier, self.settings.positions - 1))
        return self.read_out(items, self.click_states(items, x) + mask_padding(positions, items))
