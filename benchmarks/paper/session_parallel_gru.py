"""GRU4Rec in the form and the training of 2016 (Hidasi et al., ICLR 2016)."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from benchmarks.paper.session_parallel import Array, Schedule, SessionParallelSettings
from hln_tf.common.progress import progress_bar
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions
from hln_tf.layers.catalogue_scores import rank_in_catalogue
from hln_tf.training.ranking import batches_by_length

# Steps that one call of the graph takes.
_STEPS = 500


class SessionParallelGRU(tf.Module):
    """A GRU on one-hot clicks with TOP1 against the other targets of the batch.

    The state goes on from step to step with its dropout, the gradient does not; it is
    zero where a session begins. Scores have a bias for each item and a tanh. The
    reset gate meets the state before the product, as in Cho et al. (2014).

    Args:
      num_items: Size of the catalogue.
      settings: The settings.
    """

    def __init__(self, num_items: int, settings: SessionParallelSettings) -> None:
        super().__init__()
        self._settings, n = settings, settings.units
        random = np.random.default_rng(settings.seed)

        def weight(rows: int, columns: int, fan_out: int) -> tf.Variable:
            bound = (6 / (rows + fan_out)) ** 0.5
            values = random.uniform(-bound, bound, [rows, columns])
            return tf.Variable(values.astype(np.float32))

        self.kernel = weight(num_items, 3 * n, n)
        self.recurrent = weight(n, 3 * n, n)
        self.bias = tf.Variable(tf.zeros([3 * n]))
        self.items = weight(num_items, n, n)
        self.item_bias = tf.Variable(tf.zeros([num_items]))
        self._random = tf.random.Generator.from_seed(settings.seed)
        self._optimizer = keras.optimizers.legacy.Adagrad(
            settings.learning_rate, initial_accumulator_value=0.0, epsilon=1e-6
        )

    def next_state(self, rows: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        """Take a step of the GRU.

        Args:
          rows: int32 [batch], the clicks' rows in the catalogue.
          state: float32 [batch, n].
        """
        given = tf.split(tf.gather(self.kernel, rows) + self.bias, 3, axis=1)
        of_candidate, *of_gates = tf.split(self.recurrent, 3, axis=1)
        reset, update = (
            tf.sigmoid(part + tf.matmul(state, kernel))
            for part, kernel in zip(given[1:], of_gates, strict=True)
        )
        candidate = tf.tanh(given[0] + tf.matmul(reset * state, of_candidate))
        return (1 - update) * state + update * candidate

    def loss(self, state: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Compute the mean of TOP1 over the batch, whose targets are each other's negatives."""
        scores = tf.matmul(state, tf.gather(self.items, targets), transpose_b=True)
        scores = tf.tanh(scores + tf.gather(self.item_bias, targets))
        own = tf.linalg.diag_part(scores)
        each = tf.sigmoid(scores - own[:, None]) + tf.sigmoid(scores**2)
        of_own = tf.sigmoid(own**2) / tf.cast(tf.size(own), tf.float32)
        return tf.reduce_mean(tf.reduce_mean(each, axis=1) - of_own)

    @tf.function(reduce_retracing=True)
    def _train(
        self, items: tf.Tensor, targets: tf.Tensor, is_first: tf.Tensor, state: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        total, rate = tf.constant(0.0), self._settings.dropout
        for step in tf.range(tf.shape(items)[0]):
            before = tf.where(is_first[step][:, None], 0.0, state)
            left = self._random.uniform(tf.shape(before)) >= rate
            with tf.GradientTape() as tape:
                state = self.next_state(items[step] - 1, before)
                state = tf.where(left, state / (1 - rate), 0.0)
                loss = self.loss(state, targets[step] - 1)
            weights = self.trainable_variables
            self._optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            total += loss
        return state, total

    def train(self, sessions: Sessions) -> list[float]:
        """Train on sessions in their order; return the mean loss of each epoch."""
        settings, losses = self._settings, []
        plan = Schedule.of(sessions, settings.batch_size)
        self._optimizer.apply_gradients(
            [(tf.zeros_like(weight), weight) for weight in self.trainable_variables]
        )
        for epoch in range(settings.epochs):
            state, total = tf.zeros([settings.batch_size, settings.units]), 0.0
            with progress_bar(
                f"epoch {epoch + 1}/{settings.epochs}", "steps", len(plan.items)
            ) as bar:
                for start in range(0, len(plan.items), _STEPS):
                    some = slice(start, start + _STEPS)
                    state, added = self._train(
                        *map(
                            tf.constant, (plan.items[some], plan.targets[some], plan.is_first[some])
                        ),
                        state,
                    )
                    total += float(added)
                    bar.update(len(plan.items[some]))
            losses.append(total / len(plan.items))
        return losses

    @tf.function(reduce_retracing=True)
    def _ranks(self, items: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        state = tf.zeros([tf.shape(items)[0], self._settings.units])
        for step in tf.range(tf.shape(items)[1]):
            rows = items[:, step]
            after = self.next_state(tf.maximum(rows, 1) - 1, state)
            state = tf.where(rows[:, None] > 0, after, state)
        # The bias of an item is one more entry of its vector; tanh changes no rank.
        query = tf.pad(state, [[0, 0], [0, 1]], constant_values=1.0)
        candidates = tf.concat([self.items, self.item_bias[:, None]], axis=1)
        return rank_in_catalogue(query, candidates, targets - 1)[0]

    def ranks(self, prefixes: Prefixes, batch_size: int = 1024) -> Array:
        """Rank the target of each prefix among all items, int32 [examples]."""
        ranks = np.empty(len(prefixes), np.int32)
        for chosen, batch in batches_by_length(prefixes, batch_size, "ranking"):
            ranks[chosen] = self._ranks(*map(tf.constant, (batch["items"], batch["target"])))
        return ranks
