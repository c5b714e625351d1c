"""Factorised personalised Markov chains (Rendle et al., WWW 2010)."""

from typing import Any

import tensorflow as tf

from hln_tf.layers.clicks import last_click, mean_of_clicks
from hln_tf.layers.sharding import Seed
from hln_tf.models.base import SessionEncoder
from hln_tf.models.settings import FPMCSettings

# Sets the draws of the last click's dropout apart from others with the same seed.
LAST_DROPOUT = 0x4C415354


class FPMC(SessionEncoder):
    """Scores an item by the session's vector and by the last click.

    With item i's row of X as V_{I,U} and V_{I,L}, half each, u the session and l
    its last item, the score of i is <u, V_{I,U}> + <V_{L,I} of l, V_{I,L}>. As in
    `BPRMF`, u is the mean of the session's V_{I,U}. For the authors' adaptive
    negatives, drawn by rank, stands the loss `bpr_adaptive`, the one of those drawn
    evenly that scores highest.
    """

    settings: FPMCSettings

    def __init__(
        self, num_items: int, settings: FPMCSettings, loss: str = "softmax", **task: Any
    ) -> None:
        super().__init__(num_items, settings, loss, **task)
        self.V_LI = self.add_item_table("V_LI", settings.embedding_dim // 2)

    def encode_vectors(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """See `SessionEncoder`."""
        session = mean_of_clicks(x[..., : self.settings.embedding_dim // 2], items)
        last = self.lookup(self.V_LI, last_click(items, items)[:, None])[:, 0]
        if training:
            last = self.drop(last, self.settings.dropout, seed, LAST_DROPOUT)
        return tf.concat([session, last], axis=1)
