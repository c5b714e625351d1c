"""The space of item embeddings, in which sessions are queries."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.choices import SHORTEST
from hln_tf.layers.clicks import last_click
from hln_tf.layers.item_table import item_rows, mask_padding
from hln_tf.models.base import SessionScorer


class ItemSpaceScorer(SessionScorer):
    """A scorer with an item table, and with what makes a query of a vector in its space.

    That is the last click's own path into the query, and the query's length.
    `SessionEncoder` trains it.

    Attributes:
      X: The item table, float32 [items, d].
      item_tables: References of the weights with a row for each item, X and those
        of `add_item_table`.
    """

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)
        # Keras would track a list, and put its content before the other weights.
        self.item_tables: frozenset[Any] = frozenset()
        self.X = self.add_item_table("X", self.settings.embedding_dim, self.item_initializer())
        if self.settings.normalize:
            self.scale = self.add_weight(
                name="scale",
                shape=(),
                initializer=keras.initializers.Constant(self.settings.scale),
            )
        if self.settings.last_click != "none":
            d = self.settings.embedding_dim
            shape = (d,) if self.settings.last_click == "scaled" else (d, d)
            self.W_last = self.add_weight(name="W_last", shape=shape, initializer="zeros")

    def item_initializer(self) -> Any:
        """Return the initialiser of the item table; None for uniform on +-1/sqrt(d)."""
        return None

    def add_item_table(self, name: str, width: int, initializer: Any = None) -> tf.Variable:
        """Add a weight with a row for each item, float32 [items, width].

        Args:
          name: Its name.
          width: Entries in a row.
          initializer: Uniform on +-1/sqrt(width) by default.
        """
        bound = width**-0.5
        table = self.add_weight(
            name=name,
            shape=(self.num_items, width),
            initializer=initializer or keras.initializers.RandomUniform(-bound, bound),
        )
        self.item_tables |= {table.ref()}
        return table

    def item_embeddings(self) -> tf.Variable | tf.Tensor:
        """Return the item embeddings that queries are scored with, float32 [items, d]."""
        return tf.math.l2_normalize(self.X, axis=1) if self.settings.normalize else self.X

    def to_query(self, embeddings: tf.Tensor) -> tf.Tensor:
        """Convert embeddings in item space into queries, both float32 [..., d].

        Normalised queries have the length `scale`, less for embeddings below
        `SHORTEST`: that of a session of which nothing is retained is 0, and its
        gradient would be unbounded.
        """
        if self.settings.normalize:
            return self.scale * tf.math.l2_normalize(embeddings, axis=-1, epsilon=SHORTEST**2)
        return embeddings

    def lookup(self, table: tf.Variable | tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Gather rows of a table [items, d] for sessions, [batch, time, d], zero at padding."""
        return mask_padding(tf.gather(table, item_rows(items)), items)

    def add_last_click(self, embeddings: tf.Tensor, items: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Add what the last click's embedding x_t has to the query by itself.

        That is w * x_t with `last_click="scaled"` and W x_t with `projected`, where
        W makes the scores of items after x_t those of a factorised Markov chain. Both
        are 0 at first, so that a model starts as it would without them.

        Args:
          embeddings: What `encode_embeddings` returned, float32 [batch, d].
          items: int32 [batch, time], padded with 0.
          x: float32 [batch, time, d], the items' embeddings, 0 at padding.

        Returns:
          float32 [batch, d].
        """
        kind = self.settings.last_click
        if kind == "none":
            return embeddings
        x_t = last_click(x, items)
        if kind == "scaled":
            return embeddings + self.W_last * x_t
        return embeddings + tf.matmul(x_t, self.W_last, transpose_b=True)
