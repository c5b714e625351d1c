"""GRU4Rec (Hidasi et al., ICLR 2016; Hidasi and Karatzoglou, CIKM 2018)."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.gru import GRU
from hln_tf.layers.noise import Seed
from hln_tf.models.encoder import SessionEncoder
from hln_tf.models.settings import GRU4RecSettings

# Separate the dropout from other noise with the same seed.
HIDDEN_DROPOUT, KERNEL_DROPOUT = 0x48494444, 0x4B45524E


@keras.utils.register_keras_serializable("hln_tf")
class GRU4Rec(SessionEncoder):
    """A GRU over the session; its last state is the query.

    The form of 2016 reads clicks one-hot: the GRU's kernel is a table with a row
    for each item. The later form with `tied` reads the embeddings that score items.

    The authors step through sessions side by side, with the gradient of one step
    and the batch's other targets for negatives. Here an example is a whole prefix,
    the gradient goes through all of it, and negatives are sampled by popularity: as
    often as items are targets of other examples. Scores are dot products as in all
    models, without the authors' bias of each item and, for TOP1, their tanh.
    """

    Settings = GRU4RecSettings

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)
        n = self.settings.embedding_dim
        self.gru = GRU(n, input_kernel=self.settings.tied)
        if not self.settings.tied:
            self.kernel = self.add_item_table("kernel", 3 * n)
            self.bias = self.add_weight(name="bias", shape=(3 * n,), initializer="zeros")

    def encode_embeddings(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """h_last, see `SessionEncoder`."""
        _, h_last = self._run_gru(items, x, training, seed)
        if training:
            h_last = self.drop(h_last, self.settings.hidden_dropout, seed, HIDDEN_DROPOUT)
        return h_last

    def encode_prefix_embeddings(
        self, items: tf.Tensor, x: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return every state, see `PrefixEncoding`."""
        return self._run_gru(items, x, training=False, seed=None)[0], items > 0

    def _run_gru(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Run the GRU: its states, [batch, time, n], and the last ones, [batch, n]."""
        if not self.settings.tied:
            x = self.lookup(self.kernel, items)
            if training:
                x = self.drop(x, self.settings.dropout, seed, KERNEL_DROPOUT, time_axes=[1])
            x += self.bias
        return self.gru(x, mask=items > 0, training=training)
