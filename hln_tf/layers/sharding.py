"""A replica's part of a global batch.

Every worker makes the whole batch, some kilobytes of item indices, and each
replica takes its rows: what a step computes is then a function of the seed, the
epoch and the step, for any number of replicas.
"""

from typing import Any

import tensorflow as tf

from hln_tf.layers.noise import StepSeed


def replica_part(batch: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Take this replica's rows of a global batch; call in a replica context.

    Replicas get equally many rows. Where the batch has too few, its last row
    fills up, with weight 0.

    Args:
      batch: `items` int32 [batch, time], `target` int32 [batch] and, in
        training, `seed` int32 [2].

    Returns:
      The part, with `weight` float32 [rows], and its share of the global
      batch's weight; for a single replica the batch itself and 1.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return batch, 1.0
    total = tf.shape(batch["target"])[0]
    size = -(-total // context.num_replicas_in_sync)
    places = context.replica_id_in_sync_group * size + tf.range(size)
    rows = tf.minimum(places, total - 1)
    weight = tf.cast(places < total, tf.float32)
    part: dict[str, Any] = {
        "items": tf.gather(batch["items"], rows),
        "target": tf.gather(batch["target"], rows),
        "weight": weight,
    }
    if "seed" in batch:
        part["seed"] = StepSeed(batch["seed"], places[0], total)
    return part, tf.reduce_sum(weight) / tf.cast(total, tf.float32)


def weigh_part(part: dict[str, Any]) -> dict[str, Any]:
    """Add the weights to a replica's part of a batch that Keras has divided.

    Args:
      part: `target` int32 [rows], of no row where the batch is small, and
        optionally `weight`.

    Returns:
      The part with `weight` float32 [rows] and `share` float32 [], its share of
      the global batch's weight; for a single replica the part itself.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return part
    weight = part.get("weight", tf.ones_like(part["target"]))
    weight = tf.cast(weight, tf.float32)
    total = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.reduce_sum(weight))
    share = tf.math.divide_no_nan(tf.reduce_sum(weight), total)
    return {**part, "weight": weight, "share": share}
