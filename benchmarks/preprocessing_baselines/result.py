"""The result of a baseline, and the digest that compares it with a data set."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np

from benchmarks.session_files import COLUMNS, from_arrays, to_arrays
from hln_tf.data.layout import Manifest, read_vocabulary
from hln_tf.data.protocol_settings import PROTOCOLS
from hln_tf.data.sessions import Sessions, read_split

PROTOCOL = PROTOCOLS["sample"]
_FILE = "sessions.npz"


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """The sessions of train and test in order of date, and the item ids by index."""

    train: Sessions
    test: Sessions
    vocabulary: list[str]

    def counts(self) -> dict[str, int]:
        """Count the sessions and prefixes of both splits, and the items."""
        return {
            "train sessions": len(self.train),
            "train prefixes": self.train.prefixes,
            "test sessions": len(self.test),
            "test prefixes": self.test.prefixes,
            "items": len(self.vocabulary),
        }

    def digest(self) -> str:
        """Compute a checksum of every click, date and item, in order."""
        digest = hashlib.sha256("\n".join(self.vocabulary).encode())
        for part in (self.train, self.test):
            for column in COLUMNS:
                digest.update(getattr(part, column).astype("<i8").tobytes())
        return digest.hexdigest()

    def write(self, directory: str) -> None:
        """Write the result to a new directory."""
        Path(directory).mkdir(parents=True)
        columns = to_arrays({"train": self.train, "test": self.test})
        np.savez(Path(directory) / _FILE, vocabulary=np.array(self.vocabulary), **columns)


def read(directory: str) -> Result:
    """Read the result of a baseline, or a data set directory."""
    if (Path(directory) / _FILE).exists():
        with np.load(Path(directory) / _FILE) as columns:
            parts = from_arrays(columns, ("train", "test"))
            return Result(**parts, vocabulary=columns["vocabulary"].tolist())
    train, validation, test = (
        read_split(directory, split) for split in ("train", "validation", "test")
    )
    vocabulary = read_vocabulary(Path(directory), Manifest.read(directory))
    return Result(train + validation, test, vocabulary)
