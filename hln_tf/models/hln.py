"""Hierarchical Leaping Networks (Guo et al., SIGIR 2020)."""

from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras as keras

from hln_tf.layers.leap_gate import BEGUN
from hln_tf.layers.leap_recurrent_unit import LeapRecurrentUnit
from hln_tf.layers.noise import Seed, sizes, uniform_rows
from hln_tf.layers.preference_manager import PreferenceManager
from hln_tf.layers.prefix_gates import prefixes_with_gates
from hln_tf.layers.relaxed_bernoulli import LEAST, to_logistic
from hln_tf.layers.time_major import gates_of_clicks, leap_probabilities
from hln_tf.models.base import Preferences
from hln_tf.models.encoder import SessionEncoder
from hln_tf.models.settings import HLNSettings

# Separates the dropout of preferences from other noise with the same seed.
PREFERENCE_DROPOUT = 0x50524546


class _Passes(NamedTuple):
    """The result of the L passes over sessions.

    Attributes:
      preferences: h_{l,last} of each pass, [batch, n].
      aggregate: a_L, [batch, n].
      leaps: p, [batch, L, time].
      ages: The number of clicks since the last one in each group, int32 [batch, L].
    """

    preferences: list[tf.Tensor]
    aggregate: tf.Tensor
    leaps: tf.Tensor
    ages: tf.Tensor


@keras.utils.register_keras_serializable("hln_tf")
class HLN(SessionEncoder):
    """A model of a session's L preference groups, which recommends what fits them all.

    L passes of one Leap Recurrent Unit run over the session; each may leap over
    clicks, and each sees the aggregate a_{l-1} of the preferences before it.
    The last aggregate, projected to item space by W, is the query (eq. 1-6).

    With `leap_gate="predictive"` a pass leaps over the clicks that its preference
    would not have predicted, by the score that eq. 6 and 7 give them, and with
    `exclusive_groups` a click that a pass retained is in no later pass's group.

    Items are 1 to `num_items` and 0 is padding, for sessions and targets alike;
    column i - 1 of `predict` is the score of item i. `fit` and `evaluate` take pairs
    `(items, target)` or dictionaries `{"items": ..., "target": ...}`, as arrays or as
    the batches of a `tf.data` data set: items int [batch, time], target int [batch].

    Example:
    >>> import tf_keras as keras
    >>> model = HLN(num_items=50, embedding_dim=8, hidden_dim=8, num_groups=2)
    >>> model.compile(optimizer=keras.optimizers.Adam(1e-2))
    >>> items, target = tf.constant([[3, 7, 0], [9, 1, 4]]), tf.constant([4, 2])
    >>> history = model.fit(items, target, epochs=2, verbose=0)
    >>> sorted(model.evaluate(items, target, return_dict=True, verbose=0))[:3]
    ['loss', 'mrr@10', 'mrr@20']
    >>> model.predict(items, verbose=0).shape
    (2, 50)
    """

    Settings = HLNSettings

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)
        settings = self.settings
        d, n = settings.embedding_dim, settings.hidden_dim
        self.leap_recurrent_unit = LeapRecurrentUnit(
            n,
            temperature=settings.temperature,
            leap_bias=settings.leap_bias,
            inference_gate=settings.inference_gate,
            gates=settings.gates,
            seed=self.seed,
            leap_gate=settings.leap_gate,
            leap_threshold=settings.leap_threshold,
            leap_slope=settings.leap_slope,
            normalize=settings.normalize,
            return_leap_probabilities=True,
            return_gates=True,
        )
        self.preference_manager = PreferenceManager(settings.aggregation)
        self.W = self.add_weight(name="W", shape=(d, n), initializer="glorot_uniform")
        # A predictive gate scores clicks as eq. 6 and 7 score items.
        self.leap_recurrent_unit.cell.tie(self.W, self.scale if settings.normalize else None)

    def encode_embeddings(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """Compute x_ideal (eq. 6), see `SessionEncoder`."""
        a = self._run_passes(items, x, training, seed).aggregate
        if training:
            a = self.drop(a, self.settings.preference_dropout, seed, PREFERENCE_DROPOUT)
        return self._to_item_space(a)

    def encode_with_leaps(
        self, items: tf.Tensor, training: bool = False, seed: Seed | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Encode sessions, and return the leap probabilities.

        Args:
          items: int32 [batch, time], padded with 0.
          training: Whether to sample the gates straight-through.
          seed: On which all noise depends, see `encode`.

        Returns:
          Query embeddings [batch, d], and the leap probabilities p_{l,t},
          [batch, L, time], 1 at padding.
        """
        x = self.lookup(self.item_embeddings(), items)
        passes = self._run_passes(items, x, training, seed)
        x_ideal = self.add_last_click(self._to_item_space(passes.aggregate), items, x)
        return self.to_query(x_ideal), passes.leaps

    def encode_prefix_embeddings(
        self, items: tf.Tensor, x: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Compute x_ideal of all prefixes of sessions, see `PrefixEncoding`.

        A pass reads clicks in their order, so its states over the session are those of
        all prefixes, but for gates that a later click changes: it can do so by the
        aggregate of eq. 1 alone. Prefixes in which it does are left out.
        """
        a, is_shared = self._run_shared_passes(items, x)
        return self._to_item_space(a), is_shared

    def _run_shared_passes(self, items: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Run the L passes over sessions for all of their prefixes, at inference.

        Returns:
          a_L of the prefix that ends at each click, [batch, time, n], and for which of
          them it holds, bool [batch, time].
        """
        unit, mask, n = self.leap_recurrent_unit, items > 0, self.settings.hidden_dim
        has_preference_gate = unit.cell.has_preference_gate
        gate = self.settings.inference_gate
        batch, time = tf.unstack(tf.shape(items))
        a = tf.zeros([batch, time, n], x.dtype)
        if not unit.fused or gate == "sampled" or (gate == "expected" and has_preference_gate):
            return a, tf.zeros_like(mask)
        projection = unit.project(x)
        clicks = tf.cumsum(tf.cast(mask, tf.int32), axis=1)
        is_until = tf.range(time)[:, None] >= tf.range(time)
        is_shared, free = mask, None
        preferences: list[tf.Tensor] = []
        ages: list[tf.Tensor] = []
        for group in range(self.settings.num_groups):
            if not preferences or free is not None:  # else it is the pass before once more
                result = unit.run_pass(
                    projection, None, mask, False, available=free, return_states=True
                )
                gates = gates_of_clicks(result.gates, mask, x)
                retained = 1 - gates if free is None else (1 - gates) * free
                begun = tf.where(mask & (retained >= BEGUN), clicks, 0)
                latest = tf.reduce_max(tf.where(is_until, begun[:, None, :], 0), axis=2)
            preferences.append(tf.reshape(tf.transpose(result.states, [1, 0, 2]), [-1, n]))
            ages.append(tf.reshape(clicks - latest, [-1]))
            if group and has_preference_gate:
                is_free = mask if free is None else mask & (free > 0)
                is_shared &= prefixes_with_gates(unit.cell, result, projection, a, is_free)
            if self.settings.exclusive_groups:
                free = gates if free is None else free * gates
            a = self.preference_manager(preferences, tf.stack(ages, axis=1))
            a = tf.reshape(a, [batch, time, n])
        return a, is_shared

    def _run_passes(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> "_Passes":
        """Run the L passes over sessions."""
        unit, mask = self.leap_recurrent_unit, items > 0
        noise = self.noise(items, training, seed)
        projection = unit.project(x) if unit.fused else None
        a = tf.zeros([tf.shape(items)[0], self.settings.hidden_dim], x.dtype)
        free = None  # 1 for clicks that no pass has retained yet, where groups are exclusive
        preferences, leaps, ages = [], [], []
        # The number of clicks after each one, and that of a group without a click.
        after = tf.cumsum(tf.cast(mask, tf.int32), axis=1, reverse=True, exclusive=True)
        none = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1, keepdims=True)
        for group in range(self.settings.num_groups):
            if projection is None:
                h_last, leap, gates = unit(
                    x,
                    constants=[a],
                    mask=mask,
                    training=training,
                    noise=noise[group],
                    available=free,
                )
            else:  # the passes share the projection
                result = unit.run_pass(projection, a, mask, training, noise[group], free)
                h_last, leap = result.h_last, leap_probabilities(result.logits, mask, free, x)
                gates = gates_of_clicks(result.gates, mask, x)
            retained = 1 - gates if free is None else (1 - gates) * free
            ages.append(tf.reduce_min(tf.where(mask & (retained >= BEGUN), after, none), axis=1))
            if self.settings.exclusive_groups:
                free = gates if free is None else free * gates
            preferences.append(h_last)
            leaps.append(leap)
            a = self.preference_manager(preferences, tf.stack(ages, axis=1))
        return _Passes(preferences, a, tf.stack(leaps, axis=1), tf.stack(ages, axis=1))

    def _to_item_space(self, h: tf.Tensor) -> tf.Tensor:
        """Compute W h (eq. 6), from [..., n] to [..., d]."""
        return tf.matmul(h, self.W, transpose_b=True)

    def noise(self, items: tf.Tensor, training: bool, seed: Seed | None) -> tf.Tensor:
        """Sample the gates' logistic noise, [L, batch, time]; zeros where none is needed."""
        shape = [self.settings.num_groups, *sizes(items)]
        if training or self.settings.inference_gate == "sampled":
            if training and seed is None:
                raise ValueError("`seed` is None: noise in training must depend on the step")
            seed = tf.zeros([2], tf.int32) if seed is None else seed
            return to_logistic(uniform_rows(shape, seed, 1, time_axes=[2], minval=LEAST))
        return tf.zeros(shape)

    def preferences(self, items: tf.Tensor) -> Preferences:
        """Find the preference groups of sessions, each as a query of its own.

        Group l's preference is h_{l,last} (eq. 4). W projects it to item space as
        eq. 6 does the aggregate of all groups: x_l = W h_{l,last}, and the items
        nearest to x_l are the group's own. With aggregation `sum` (eq. 5) x_ideal
        is the sum of the x_l, so an item's score (eq. 7) is the sum of its scores
        in the groups; with `recency` x_l is weighted as in the aggregate, so it is too.
        What `last_click` adds to x_ideal is in no group.

        Args:
          items: int32 [batch, time], padded with 0.
        """
        x = self.lookup(self.item_embeddings(), items)
        passes = self._run_passes(items, x, training=False, seed=None)
        h = self.preference_manager.weighed(tf.stack(passes.preferences, axis=1), passes.ages)
        return Preferences(self.to_query(self._to_item_space(h)), 1 - passes.leaps)

    def retention(self, items: tf.Tensor) -> tf.Tensor:
        """Compute each click's retention 1 - p_{l,t} in each group, times what is free for it.

        Args:
          items: int32 [batch, time], padded with 0.

        Returns:
          float32 [batch, L, time], 0 at padding.
        """
        return self.preferences(items).retention
