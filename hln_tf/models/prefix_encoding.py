"""Encoding of all prefixes of a session at once."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from hln_tf.models.batches import Batch
from hln_tf.models.graphs import ITEMS, PREFIX_TARGETS, Ranker, compiled_ranker

# The methods that `encode_prefix_embeddings` must agree with.
_ENCODING = ("encode", "encode_embeddings", "add_last_click", "rank_targets")


class PrefixEncoding:
    """An optional ability of a `SessionEncoder`: all prefixes of a session encoded at once.

    With it targets are ranked by running over a session once; where lists of
    recommendations are made, too, each prefix is encoded by itself.

    A subclass does not inherit it where `encode`, `encode_embeddings`, `add_last_click` or
    `rank_targets` is overridden after it, by the subclass or by a mixin.

    Attributes:
      encode_prefix_embeddings: As `encode_embeddings` at inference, for all prefixes of
        sessions at once; None where each has to be encoded by itself. From items, int32
        [batch, time], and their embeddings x to embeddings in item space, float32
        [batch, time, d], at [:, t] those of the items [:, : t + 1], up to rounding; and
        where that holds, bool [batch, time]: other prefixes are encoded by themselves.
    """

    encode_prefix_embeddings: (
        Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]] | None
    ) = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        ability = _place(cls, "encode_prefix_embeddings")
        if any(_place(cls, method) < ability for method in _ENCODING):
            cls.encode_prefix_embeddings = None

    @property
    def encodes_prefixes(self: Any) -> bool:
        """True for a model with the ability, unless it has a repeat head.

        The repeat head reads the clicks of each prefix.
        """
        return self.encode_prefix_embeddings is not None and not self.settings.repeat_head

    def encode_prefixes(self: Any, items: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Encode all prefixes of sessions.

        Args:
          items: int32 [batch, time], padded with 0.

        Returns:
          Queries, float32 [batch, time, d], at [:, t] what `encode` returns for the items
          [:, : t + 1]; and where they hold, bool [batch, time], never at padding.
        """
        x = self.lookup(self.item_embeddings(), items)
        embeddings, is_encoded = self.encode_prefix_embeddings(items, x)
        # Of the prefix that ends at a click, the click is the last one.
        d = x.shape[2]
        last = tf.reshape(items, [-1, 1]), tf.reshape(x, [-1, 1, d])
        embeddings = self.add_last_click(tf.reshape(embeddings, [-1, d]), *last)
        queries = tf.reshape(self.to_query(embeddings), tf.shape(x))
        return queries, is_encoded & (items > 0)

    def rank_prefixes(self: Any, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Rank the targets of prefixes as `rank_targets`, where `encodes_prefixes`.

        Args:
          batch: `items` int32 [batch, time], and `target` int32 [batch, time], the target
            of the prefix that ends at each click, 0 for none.

        Returns:
          Ranks from 1, int32 [batch, time], and scores, float32 [batch, time]; both 0
          where there is no target, or no query.
        """
        queries, is_encoded = self.encode_prefixes(batch["items"])
        places = tf.where(is_encoded & (batch["target"] > 0))
        query, target = (tf.gather_nd(part, places) for part in (queries, batch["target"]))
        found = self.ranking.rank_targets(query, self.item_embeddings(), target - 1)
        shape = tf.shape(batch["target"], tf.int64)
        ranks, scores = (tf.scatter_nd(places, part, shape) for part in found)
        return ranks, scores

    @functools.cached_property
    def compiled_rank_prefixes(self: Any) -> Ranker | None:
        """`rank_prefixes` as a function of items and targets, one graph for all lengths.

        None where the model lacks the ability: Keras reads it where it saves a model.
        """
        if not self.encodes_prefixes:
            return None
        return compiled_ranker(self.rank_prefixes, [ITEMS, PREFIX_TARGETS], self)


def _place(cls: type, name: str) -> int:
    """Return the place in a class's order of resolution at which a name is found, or its length."""
    mro = cls.__mro__
    return next((place for place, base in enumerate(mro) if name in vars(base)), len(mro))
