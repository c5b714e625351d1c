"""From raw item ids to recommendations: one graph for Python and for serving."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from hln_tf.models.base import SessionScorer
from hln_tf.models.popularity import popularity_scores
from hln_tf.workdir import Workdir


class Answer(NamedTuple):
    """What a session gets.

    Attributes:
      items: Pairs of raw id and score, highest first.
      is_fallback: Whether these are the most popular items in place of the model's.
    """

    items: list[tuple[str, float]]
    is_fallback: bool


class Recommender(tf.Module):
    """Recommends items by their raw ids.

    Unknown items of a session are skipped; a session with no known item, or of
    which the model keeps nothing, gets the most popular items. Of long sessions
    the last clicks are used.

    Args:
      model: A trained model.
      vocabulary: Raw item ids; item i stands at index i - 1.
      max_length: Clicks of a session that are used.
      separator: Joins item ids where a session is written as one string.

    Attributes:
      known: The raw ids that the model knows.
    """

    def __init__(
        self, model: SessionScorer, vocabulary: Sequence[str], max_length: int, separator: str
    ) -> None:
        super().__init__()
        self.known = frozenset(vocabulary)
        self.max_length = max_length
        self.separator = separator
        ids = tf.constant(vocabulary)
        self._numbers = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(ids, tf.range(1, len(vocabulary) + 1)), 0
        )
        self._ids = tf.Variable(ids, trainable=False, name="item_ids")
        self._popularity = popularity_scores(model.item_counts)
        # The variables are tracked, for a SavedModel; the Keras model is not: saving it
        # would trace every call signature it has ever seen.
        self._weights = model.variables
        self._scores = model.scores

    @classmethod
    def load(cls, workdir: Workdir) -> "Recommender":
        """The recommender of a finished run.

        Raises:
          HlnError: The workdir holds no finished model.
        """
        return cls.of(workdir, workdir.model())

    @classmethod
    def of(cls, workdir: Workdir, model: SessionScorer) -> "Recommender":
        """The recommender of a run whose model is at hand."""
        config = workdir.config()
        max_length, separator = config.training.max_length, config.data.separator
        return cls(model, workdir.vocabulary(), max_length, separator)

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.string), tf.TensorSpec([], tf.int32)]
    )
    def top_k(self, items: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Recommends the k items that score highest.

        Args:
          items: string [batch, time], raw ids, padded with "".
          k: int32 [].

        Returns:
          Raw ids, string [batch, k], and scores, float32 [batch, k], highest
          first, all items where there are fewer than k; and whether they are
          the most popular ones in place of the model's, bool [batch].
        """
        numbers = self._numbers.lookup(items)
        known = tf.ragged.boolean_mask(numbers, numbers > 0)[:, -self.max_length :].to_tensor()
        # At least one column, so that no model meets sessions without time.
        known = tf.pad(known, [[0, 0], [0, tf.cast(tf.shape(known)[1] == 0, tf.int32)]])
        scores = self._scores(known)
        # A session of which the model keeps nothing has equal scores throughout.
        tied = tf.reduce_max(scores, axis=1) == tf.reduce_min(scores, axis=1)
        fallback = tf.reduce_all(known == 0, axis=1) | tied
        scores = tf.where(fallback[:, None], self._popularity, scores)
        values, indices = tf.math.top_k(scores, tf.minimum(k, tf.shape(scores)[1]))
        return tf.gather(self._ids, indices), values, fallback

    def recommend(self, sessions: Sequence[Sequence[str]], k: int = 20) -> list[Answer]:
        """Recommends items for sessions.

        Args:
          sessions: Raw item ids of each session, oldest first.
          k: Number of items for each.

        Returns:
          One answer for each session.
        """
        if not sessions:
            return []
        items = tf.ragged.constant(sessions, tf.string, ragged_rank=1).to_tensor()
        top = self.top_k(items, min(k, len(self.known)))
        return [
            Answer(
                [(item.decode(), float(score)) for item, score in zip(ids, scores, strict=True)],
                bool(is_fallback),
            )
            for ids, scores, is_fallback in zip(*(part.numpy() for part in top), strict=True)
        ]
