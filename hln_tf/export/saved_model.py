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
from hln_tf.retrieval.session_graph import SessionGraph

ITEMS = "items.txt"


def export(
    graph: SessionGraph, base: Path, run: Mapping[str, Any], version: int | None = None
) -> Path:
    """Write a SavedModel as a new version below a directory.

    It contains the item vocabulary and the signatures of
    `hln_tf.export.signatures`. Its `assets.extra` contains `model_card.json`, the
    warm-up requests of TensorFlow Serving, and in `items.txt` the ids of the items
    that the model knows, one a line, most popular first.

    Args:
      graph: The graph to export.
      base: The model's directory; its versions are subdirectories, named by numbers.
      run: The description of the run for the model card, see `describe_run`.
      version: Number of the version; one more than the largest by default.

    Returns:
      The new version's directory, which is written atomically. Concurrent exports
      wait for each other.

    Raises:
      HlnError: The version exists already, or `base` is no directory.
    """
    if base.exists() and not base.is_dir():
        raise HlnError(f"{base} is not a directory: choose another one for the model's versions")
    with files.directory_lock(base):
        if version is None:
            found = [int(entry.name) for entry in base.iterdir() if is_version(entry.name)]
            version = max(found, default=0) + 1
        path = base / str(version)
        if path.exists():
            raise HlnError(f"{path} exists already: choose another version, or leave it out")
        with files.atomic_directory(path) as temporary:
            write_saved_model(graph, temporary, base.resolve().name, run)
    return path


def write_saved_model(graph: SessionGraph, path: Path, name: str, run: Mapping[str, Any]) -> None:
    """Write a SavedModel and its extra assets into a directory; see `export`."""
    functions = signatures(graph)
    # The only custom operations are those of the approximate index.
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
    tf.saved_model.save(graph, str(path), functions, options)
    extra = path / "assets.extra"
    files.write_json(extra / MODEL_CARD, model_card(graph, functions, run))
    items = graph.popular_items()
    (extra / ITEMS).write_text("".join(f"{item}\n" for item in items), "utf-8", newline="\n")
    warmup.write(extra / warmup.FILE, name, graph, functions, session=items[:2])
