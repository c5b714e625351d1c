"""Item embeddings for TensorBoard's Embedding Projector."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tensorboard.plugins import projector

from hln_tf.analysis.item_embeddings import most_popular
from hln_tf.common import files
from hln_tf.models.encoder import SessionEncoder

# Number of items that a browser projects without delay.
MAX_ITEMS = 10_000
EMBEDDINGS = "item_embeddings.tsv"
METADATA = "items.tsv"
# Characters that would end a cell or a row: the tab, and all at which `splitlines` splits.
_BREAKS = {ord(character): " " for character in "\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"}


def write_projector(directory: Path, model: SessionEncoder, vocabulary: Sequence[str]) -> None:
    """Write the embeddings of the most popular items, their item ids and clicks.

    Args:
      directory: A directory of event files.
      model: The model.
      vocabulary: The item ids; that of item i is at index i - 1.
    """
    items = most_popular(model, vocabulary, MAX_ITEMS)
    with files.atomic_write(directory / EMBEDDINGS) as temporary:
        np.savetxt(temporary, items.embeddings, "%.6g", delimiter="\t")
    rows = ["item\tclicks\tpopularity_rank"]
    for rank, (item, clicks) in enumerate(zip(items.ids, items.clicks, strict=True), start=1):
        rows.append(f"{item.translate(_BREAKS)}\t{clicks}\t{rank}")
    with files.atomic_write(directory / METADATA) as temporary:
        temporary.write_text("\n".join(rows) + "\n", "utf-8")
    config = projector.ProjectorConfig()
    config.embeddings.add(
        tensor_name="item embeddings", tensor_path=EMBEDDINGS, metadata_path=METADATA
    )
    projector.visualize_embeddings(str(directory), config)
