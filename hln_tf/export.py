"""SavedModels for TensorFlow Serving."""

from pathlib import Path

import tensorflow as tf

from hln_tf import files
from hln_tf.errors import HlnError
from hln_tf.recommender import Recommender

DEFAULT_K = 20


def export(
    recommender: Recommender, base: Path, version: int | None = None, k: int = DEFAULT_K
) -> Path:
    """Writes a SavedModel as a version below a directory.

    Its signature `serving_default` takes `items`, string [batch, time], raw
    ids padded with "", and returns `item_ids`, string [batch, k], and
    `scores`, float32 [batch, k]. The item vocabulary is inside;
    `assets.extra/sessions.json` records the separator, the clicks used and k.

    Args:
      recommender: What to export.
      base: The model's directory; versions are whole numbers below it.
      version: Number of the version; one more than the largest by default.
      k: Items recommended for each session.

    Returns:
      The new version's directory, which appears whole or not at all.

    Raises:
      HlnError: The version is there already.
    """
    if version is None:
        found = [int(entry.name) for entry in base.glob("*") if entry.name.isdigit()]
        version = max(found, default=0) + 1
    path = base / str(version)
    if path.exists():
        raise HlnError(f"{path} is there already: choose another version, or leave it out")

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string, name="items")])
    def serving_default(items: tf.Tensor) -> dict[str, tf.Tensor]:
        ids, scores, _ = recommender.top_k(items, k)
        return {"item_ids": ids, "scores": scores}

    with files.directory_written_whole(path) as temporary:
        tf.saved_model.save(recommender, str(temporary), {"serving_default": serving_default})
        record = {"separator": recommender.separator, "max_length": recommender.max_length, "k": k}
        files.write_json(temporary / "assets.extra" / "sessions.json", record)
    return path
