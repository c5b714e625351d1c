"""Gradients of the training loss, and their global norm for diagnostics."""

from collections.abc import Callable

import tensorflow as tf

from hln_tf.layers.sharding import replica_part
from hln_tf.models.base import Batch
from hln_tf.models.encoder import SessionEncoder
from hln_tf.models.graphs import compiled
from hln_tf.training.optimizers import sum_duplicate_rows

STEP_SIGNATURE = [
    tf.TensorSpec([None, None], tf.int32),
    tf.TensorSpec([None], tf.int32),
    tf.TensorSpec([2], tf.int32),
]


def replica_gradients(
    model: SessionEncoder, batch: Batch
) -> tuple[tf.Tensor, list[tf.Tensor | tf.IndexedSlices]]:
    """Compute this replica's share of a batch's mean loss, and its gradients.

    Call it in a replica context.

    Args:
      model: The model.
      batch: `items` int32 [batch, time], `target` int32 [batch] and `seed` int32 [2].

    Returns:
      The share of the loss, float32 [], and its gradients with respect to the
      model's trainable variables.
    """
    with tf.GradientTape() as tape:
        part, share = replica_part(batch)
        # The shares sum to 1, so the sum that the optimiser applies is the batch's mean.
        part_loss = share * model.compute_loss(part, training=True)
    return part_loss, tape.gradient(part_loss, model.trainable_variables)


def compile_gradient_norm(model: SessionEncoder) -> Callable[..., tf.Tensor]:
    """Compile the global norm of a batch's gradients as a graph of its own.

    The training step is not changed. A norm costs as much as a step, so compute
    it only for some steps; all workers must compute it together.

    Args:
      model: The model; a batch is divided among its strategy's replicas.

    Returns:
      A function of `items` int32 [batch, time], `target` int32 [batch] and
      `seed` int32 [2] that returns the norm, float32 [].
    """
    strategy = model.distribute_strategy

    def replica_norm(batch: Batch) -> tf.Tensor:
        _, gradients = replica_gradients(model, batch)
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        return tf.linalg.global_norm([sum_duplicate_rows(gradient) for gradient in gradients])

    def gradient_norm(items: tf.Tensor, target: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        norms = strategy.run(replica_norm, args=({"items": items, "target": target, "seed": seed},))
        return strategy.experimental_local_results(norms)[0]

    return compiled(gradient_norm, STEP_SIGNATURE, model)
