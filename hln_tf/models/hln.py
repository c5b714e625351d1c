"""Hierarchical Leaping Networks (Guo et al., SIGIR 2020)."""

from typing import Any

import tensorflow as tf

from hln_tf.layers.leap_gate import logistic_noise
from hln_tf.layers.leap_recurrent import LeapRecurrentUnit
from hln_tf.layers.preference_manager import PreferenceManager
from hln_tf.layers.sharding import Seed, draw_rows
from hln_tf.models.base import Preferences, SessionEncoder
from hln_tf.models.settings import HLNSettings

# Sets the draws of the preferences' dropout apart from others with the same seed.
PREFERENCE_DROPOUT = 0x50524546


class HLN(SessionEncoder):
    """Learns L preference groups of a session and recommends what fits them all.

    L passes of one Leap Recurrent Unit run over the session; each may leap over
    clicks, and each sees the aggregate a_{l-1} of the preferences before it.
    The last aggregate, taken to item space by W, is the query (eq. 1-6).
    """

    settings: HLNSettings

    def __init__(
        self, num_items: int, settings: HLNSettings, loss: str = "softmax", **task: Any
    ) -> None:
        super().__init__(num_items, settings, loss, **task)
        d, n = settings.embedding_dim, settings.hidden_dim
        self.leap_recurrent_unit = LeapRecurrentUnit(
            n,
            temperature=settings.temperature,
            leap_bias=settings.leap_bias,
            inference_gate=settings.inference_gate,
            gates=settings.gates,
        )
        self.preference_manager = PreferenceManager(settings.aggregation)
        self.W = self.add_weight(name="W", shape=(d, n), initializer="glorot_uniform")

    def encode_vectors(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tf.Tensor:
        """x_ideal (eq. 6), see `SessionEncoder`."""
        _, a, _ = self._leap(items, x, training, seed)
        if training:
            a = self.drop(a, self.settings.preference_dropout, seed, PREFERENCE_DROPOUT)
        return self._to_item_space(a)

    def encode_with_leaps(
        self, items: tf.Tensor, training: bool = False, seed: Seed | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes sessions and tells what was leapt.

        Args:
          items: int32 [batch, time], padded with 0.
          training: Whether to sample the gates straight-through.
          seed: On which all noise depends, see `encode`.

        Returns:
          Query vectors [batch, d], and the probabilities p_{l,t} of leaping,
          [batch, L, time], 1 at padding.
        """
        x = self.lookup(self.candidates(), items)
        _, a, leaps = self._leap(items, x, training, seed)
        return self.to_query(self._to_item_space(a)), leaps

    def _leap(
        self, items: tf.Tensor, x: tf.Tensor, training: bool, seed: Seed | None
    ) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
        """The L passes: h_{l,last} [batch, n] of each, a_L [batch, n], p [batch, L, time]."""
        L = self.settings.num_groups
        noise = self.noise(tf.shape(items), training, seed)
        projected = self.leap_recurrent_unit.project(x)
        a = tf.zeros([tf.shape(items)[0], self.settings.hidden_dim], x.dtype)
        preferences, logits = [], []
        for group in range(L):
            h_last, leap_logits = self.leap_recurrent_unit(
                x, projected=projected, a=a, noise=noise[group], mask=items > 0, training=training
            )
            preferences.append(h_last)
            logits.append(leap_logits)
            a = self.preference_manager(preferences)
        return preferences, a, tf.sigmoid(tf.stack(logits, axis=1))

    def _to_item_space(self, h: tf.Tensor) -> tf.Tensor:
        """W h (eq. 6), from [..., n] to [..., d]."""
        return tf.matmul(h, self.W, transpose_b=True)

    def noise(self, shape: tf.Tensor, training: bool, seed: Seed | None) -> tf.Tensor:
        """Logistic noise of the gates, [L, batch, time]; zeros where none is drawn."""
        shape = tf.concat([[self.settings.num_groups], shape], axis=0)
        if training or self.settings.inference_gate == "sampled":
            if training and seed is None:
                raise ValueError("`seed` is None: noise in training must depend on the step")
            seed = tf.zeros([2], tf.int32) if seed is None else seed
            return draw_rows(logistic_noise, shape, seed, axis=1)
        return tf.zeros(shape)

    def preferences(self, items: tf.Tensor) -> Preferences:
        """The preference groups of sessions, each as a query of its own.

        Group l keeps h_{l,last} of a session (eq. 4). W takes it to item space
        as eq. 6 takes the aggregate of all groups: x_l = W h_{l,last}, and the
        items nearest to x_l are the group's own. With aggregation `sum` (eq. 5)
        x_ideal is the sum of the x_l, so an item's score (eq. 7) is the sum of
        what it scores in each group.

        Args:
          items: int32 [batch, time], padded with 0.
        """
        x = self.lookup(self.candidates(), items)
        h, _, leaps = self._leap(items, x, training=False, seed=None)
        queries = self.to_query(self._to_item_space(tf.stack(h, axis=1)))
        return Preferences(queries, 1 - leaps)

    def retention(self, items: tf.Tensor) -> tf.Tensor:
        """Probability that each click is kept in each group, 1 - p_{l,t}.

        Args:
          items: int32 [batch, time], padded with 0.

        Returns:
          float32 [batch, L, time], 0 at padding.
        """
        return self.preferences(items).retention
