"""Item vectors for TensorBoard's Embedding Projector."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tensorboard.plugins import projector

from hln_tf.analysis.item_embeddings import most_popular
from hln_tf.common import files
from hln_tf.models.base import SessionEncoder

# As many as a browser projects at ease.
MOST_ITEMS = 10_000
VECTORS = "item_vectors.tsv"
METADATA = "items.tsv"
# What would end a cell or a row; `splitlines` knows them all.
_BREAKS = {ord(character): " " for character in "\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"}


def write_projector(directory: Path, model: SessionEncoder, vocabulary: Sequence[str]) -> None:
    """Writes the vectors of the most popular items, their raw ids and clicks.

    Args:
      directory: A directory of event files.
      model: The model.
      vocabulary: Raw item ids; item i stands at index i - 1.
    """
    items = most_popular(model, vocabulary, MOST_ITEMS)
    with files.atomic_write(directory / VECTORS) as temporary:
        np.savetxt(temporary, items.embeddings, "%.6g", delimiter="\t")
    rows = ["item\tclicks\tpopularity_rank"]
    for rank, (item, clicks) in enumerate(zip(items.ids, items.clicks, strict=True), start=1):
        rows.append(f"{item.translate(_BREAKS)}\t{clicks}\t{rank}")
    with files.atomic_write(directory / METADATA) as temporary:
        temporary.write_text("\n".join(rows) + "\n", "utf-8")
    config = projector.ProjectorConfig()
    config.embeddings.add(tensor_name="item vectors", tensor_path=VECTORS, metadata_path=METADATA)
    projector.visualize_embeddings(str(directory), config)
