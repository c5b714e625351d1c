"""Factorised personalised Markov chains (Rendle et al., WWW 2010)."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.clicks import last_click, mean_of_clicks
from hln_tf.layers.noise import Seed
from hln_tf.models.encoder import SessionEncoder
from hln_tf.models.settings import FPMCSettings

# Separates the dropout of the last click from other noise with the same seed.
LAST_DROPOUT = 0x4C415354


@keras.utils.register_keras_serializable("hln_tf")
class FPMC(SessionEncoder):
    """A factorised Markov chain: scores an item by the session and by its last click.

    With item i's row of X as V_{I,U} and V_{I,L}, half each, u the session and l
    its last item, the score of i is <u, V_{I,U}> + <V_{L,I} of l, V_{I,L}>. As in
    `BPRMF`, u is the mean of the session's V_{I,U}. The authors sample negatives
    adaptively, by rank; the loss `bpr_adaptive` takes the one that scores highest
    of those sampled uniformly instead.
    """

    Settings = FPMCSettings

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)
        self.V_LI = self.add_item_table("V_LI", self.settings.embedding_dim // 2)

    def encode_embeddings(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """See `SessionEncoder`."""
        session = mean_of_clicks(x[..., : self.settings.embedding_dim // 2], items)
        last = self.lookup(self.V_LI, last_click(items, items)[:, None])[:, 0]
        if training:
            last = self.drop(last, self.settings.dropout, seed, LAST_DROPOUT)
        return tf.concat([session, last], axis=1)
