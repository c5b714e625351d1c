"""GRU4Rec (Hidasi et al., ICLR 2016; Hidasi and Karatzoglou, CIKM 2018)."""

from typing import Any

import tensorflow as tf

from hln_tf.layers.gru import GRU
from hln_tf.layers.sharding import Seed
from hln_tf.models.base import SessionEncoder
from hln_tf.models.settings import GRU4RecSettings

# Set the draws of dropout apart from others with the same seed.
HIDDEN_DROPOUT, KERNEL_DROPOUT = 0x48494444, 0x4B45524E


class GRU4Rec(SessionEncoder):
    """A GRU over the session; its last state is the query.

    The form of 2016 reads clicks one-hot: the GRU's kernel is a table with a row
    for each item. The later form with `tied` reads the vectors that score items.

    The authors step through sessions side by side, with the gradient of one step
    and the batch's other targets for negatives. Here a sample is a whole prefix,
    the gradient goes through all of it, and negatives are drawn by popularity: as
    often as items are other samples' targets. Scores are dot products as in all
    models, without the authors' bias of each item and, for TOP1, their tanh.
    """

    settings: GRU4RecSettings

    def __init__(
        self, num_items: int, settings: GRU4RecSettings, loss: str = "softmax", **task: Any
    ) -> None:
        super().__init__(num_items, settings, loss, **task)
        n = settings.embedding_dim
        self.gru = GRU(n)
        if not settings.tied:
            self.kernel = self.add_item_table("kernel", 3 * n)
            self.bias = self.add_weight(name="bias", shape=(3 * n,), initializer="zeros")

    def encode_vectors(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """h_last, see `SessionEncoder`."""
        mask = items > 0
        if self.settings.tied:
            _, h_last = self.gru(x, mask=mask, training=training)
        else:
            rows = self.lookup(self.kernel, items)
            if training:
                rows = self.drop(rows, self.settings.dropout, seed, KERNEL_DROPOUT)
            by_time = tf.transpose(rows, [1, 0, 2])
            _, h_last = self.gru.over(tf.split(by_time + self.bias, 3, axis=2), mask, training)
        if training:
            h_last = self.drop(h_last, self.settings.hidden_dropout, seed, HIDDEN_DROPOUT)
        return h_last
