"""The table from item ids to item indices, in the graph or in a file next to it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

# Bytes of ids from which on they are a text file: a graph is one message of at most 2 GB, of which
# a server has several copies while it loads it.
LARGE = 10**6
FILE = "vocabulary.txt"
# The last line of the file, by which a cut in the last id is noticed, too: a line is missing then.
END = "# end of the item ids"


class VocabularyTable(tf.Module):
    """Looks up item indices of item ids.

    A small vocabulary is a constant of the graph. A large one is a text file, an id a
    line and `END` in the last one, which a SavedModel has among its assets.

    Args:
      vocabulary: Item ids in order of their indices, from 1.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        super().__init__()
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        size = sum(len(item.encode()) for item in vocabulary)
        # TensorFlow drops carriage returns when it reads lines, and refuses empty ones.
        is_text = all(
            item not in ("", END) and "\n" not in item and "\r" not in item for item in vocabulary
        )
        if size < LARGE or not is_text:
            indices = tf.range(1, len(vocabulary) + 1)
            source = tf.lookup.KeyValueTensorInitializer(tf.constant(vocabulary), indices)
            self._table = tf.lookup.StaticHashTable(source, 0)
            return
        # The file is read when the table is made and copied when it is saved.
        self._directory = tempfile.TemporaryDirectory(prefix="hln_tf_")
        path = Path(self._directory.name, FILE)
        lines = [*vocabulary, END]
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8", newline="\n")
        whole, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        # With its size given, a file that lacks lines fails to load.
        source = tf.lookup.TextFileInitializer(
            str(path), tf.string, whole, tf.int64, number, vocab_size=len(lines)
        )
        self._table, self._num_lines = tf.lookup.StaticHashTable(source, -1), len(lines)

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        """Look up ids, string [...]; int32 [...], 0 for unknown ones."""
        found = self._table.lookup(ids)
        if self._directory is None:
            return found
        return (tf.cast(found, tf.int32) + 1) % self._num_lines  # the last line is 0, too
