"""SavedModels for TensorFlow Serving."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from hln_tf.common import files
from hln_tf.common.errors import HlnError
from hln_tf.common.text import is_version
from hln_tf.export import warmup
from hln_tf.export.model_card import MODEL_CARD, model_card
from hln_tf.export.signatures import signatures
from hln_tf.recommender import Recommender

ITEMS = "items.txt"


def export(
    recommender: Recommender, base: Path, run: Mapping[str, Any], version: int | None = None
) -> Path:
    """Writes a SavedModel as a version below a directory.

    It answers the signatures of `hln_tf.export.signatures` and has the item vocabulary
    inside. `assets.extra` holds `model_card.json`, the requests that TensorFlow
    Serving warms up with, and in `items.txt` the raw ids that the model knows,
    one a line, most popular first.

    Args:
      recommender: What to export.
      base: The model's directory; versions are whole numbers below it.
      run: What the model card says of the run, see `describe_run`.
      version: Number of the version; one more than the largest by default.

    Returns:
      The new version's directory, which appears whole or not at all. Where
      several exports meet, they take turns.

    Raises:
      HlnError: The version is there already, or `base` is no directory.
    """
    if base.exists() and not base.is_dir():
        raise HlnError(f"{base} is not a directory: choose another one for the model's versions")
    with files.directory_lock(base):
        if version is None:
            found = [int(entry.name) for entry in base.iterdir() if is_version(entry.name)]
            version = max(found, default=0) + 1
        path = base / str(version)
        if path.exists():
            raise HlnError(f"{path} is there already: choose another version, or leave it out")
        with files.atomic_directory(path) as temporary:
            write_saved_model(recommender, temporary, base.resolve().name, run)
    return path


def write_saved_model(
    recommender: Recommender, path: Path, name: str, run: Mapping[str, Any]
) -> None:
    """Writes a SavedModel and its extra assets into a directory; see `export`."""
    graph = recommender.graph
    functions = signatures(graph)
    # Operations outside TensorFlow's own are only those of the approximate index.
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
    tf.saved_model.save(graph, str(path), functions, options)
    extra = path / "assets.extra"
    files.write_json(extra / MODEL_CARD, model_card(graph, functions, run))
    items = recommender.popular_items()
    (extra / ITEMS).write_text("".join(f"{item}\n" for item in items), "utf-8", newline="\n")
    warmup.write(extra / warmup.FILE, name, graph, functions, session=items[:2])
