"""The signatures of a SavedModel: names, inputs and outputs.

```
serving_default(items)                  -> item_ids, scores
sessions(sessions)                      -> item_ids, scores
sessions_k(sessions, k, exclude_seen)   -> item_ids, scores, is_fallback
explain(sessions)                       -> clicks, retention, group_item_ids, group_scores,
                                           is_fallback
embed(sessions)                         -> query
```

Inputs: `items` string [batch, time], item ids padded with ""; `sessions` string
[batch], each a session, its item ids joined by the separator; `k` int32 [batch];
`exclude_seen` bool [batch]. Outputs: `item_ids` string and `scores` float32,
[batch, k], from `sessions_k` with as many columns as the largest k of the batch,
which a server may have merged from several requests; `query` float32 [batch, d];
those of `explain` are `hln_tf.retrieval.session_graph.Groups`.

There are never more columns than candidates. Models with preference groups have
`explain`, models with query embeddings have `embed`.

A `k` below 1 or above k_max is an InvalidArgument error, not a row without items:
such a row would look like a session for which no candidate remains, and clamping
k would hide the mistake too. TensorFlow Serving answers every request that it has
merged into the same batch with the error, so clients should check k; the embedded
server runs the other requests separately.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from hln_tf.retrieval.session_graph import SessionGraph

SESSIONS = tf.TensorSpec([None], tf.string, name="sessions")


def signatures(graph: SessionGraph) -> dict[str, Any]:
    """Make the signatures that a model supports, by name.

    Args:
      graph: The model's graph.

    Returns:
      A `tf.function` for each, whose input signature names its inputs.
    """
    k = min(graph.settings.k, graph.num_candidates)

    def top_k(items: tf.RaggedTensor) -> dict[str, tf.Tensor]:
        top = graph.top_k(items, k)
        return {"item_ids": _wide(top.item_ids, k), "scores": _wide(top.scores, k)}

    def serving_default(items: tf.Tensor) -> dict[str, tf.Tensor]:
        return top_k(tf.RaggedTensor.from_tensor(items))

    def sessions(sessions: tf.Tensor) -> dict[str, tf.Tensor]:
        return top_k(graph.split(sessions))

    def sessions_k(
        sessions: tf.Tensor, k: tf.Tensor, exclude_seen: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        top = graph.top_k_each(graph.split(sessions), k, exclude_seen)
        columns = tf.reduce_max(tf.concat([[0], k], axis=0))
        return {
            "item_ids": top.item_ids[:, :columns],
            "scores": top.scores[:, :columns],
            "is_fallback": top.is_fallback,
        }

    def explain(sessions: tf.Tensor) -> dict[str, tf.Tensor]:
        groups = graph.groups(graph.split(sessions), k)
        wide = {
            name: _wide(getattr(groups, name), k) for name in ("group_item_ids", "group_scores")
        }
        return groups._asdict() | wide

    def embed(sessions: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"query": graph.queries(graph.split(sessions))}

    each_k = tf.TensorSpec([None], tf.int32, name="k")
    exclude = tf.TensorSpec([None], tf.bool, name="exclude_seen")
    inputs: dict[Callable[..., Any], list[tf.TensorSpec]] = {
        serving_default: [tf.TensorSpec([None, None], tf.string, name="items")],
        sessions: [SESSIONS],
        sessions_k: [SESSIONS, each_k, exclude],
    }
    if graph.has_groups:
        inputs[explain] = [SESSIONS]
    if graph.has_embeddings:
        inputs[embed] = [SESSIONS]
    return {
        function.__name__: tf.function(function, input_signature=specs, autograph=False)
        for function, specs in inputs.items()
    }


def _wide(columns: tf.Tensor, width: int) -> tf.Tensor:
    """Set the static size of the last axis."""
    return tf.ensure_shape(columns, [*columns.shape[:-1], width])
