"""The data set directory: the interface between preprocessing and the models.

```
DIR/
  train/00000-of-00004.tfrecord ...   sessions in order of date
  validation/...                      the latest sessions of full train
  test/...
  vocabulary.txt                      line i is the id of the item with index i, from 1
  stats.json                          counts and every setting used
  manifest.json                       written last: without it DIR is unfinished
```

A record is a `tf.train.Example` of up to 1,024 consecutive sessions in columns,
all int64: `lengths` [sessions], `dates` [sessions] in seconds since 1970 UTC,
and `items` [sum of lengths], item indices. Each further column of the
log (`extra_columns`) is one more, of UTF-8 texts, one for each of `items`; an empty
one is a missing value.

Files whose names end in `.gz` are compressed as a whole.

This module imports neither TensorFlow nor Beam, so both sides can use it.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hln_tf.common import files
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.files import Location, as_location, join
from hln_tf.common.settings import rename_aliases, without_added
from hln_tf.data import stores
from hln_tf.data.protocol_settings import ProtocolSettings

FORMAT_VERSION = 1
SPLITS = ("train", "validation", "test")
SESSIONS_PER_RECORD = 1024
MANIFEST = "manifest.json"
STATS = "stats.json"
VOCABULARY = "vocabulary.txt"
COMPRESSED_SUFFIX = ".gz"
EXTRA_PREFIX = "log_"  # before the name of an extra column, wherever others are next to it
_SHARD = re.compile(rf"({'|'.join(SPLITS)})/\d+-of-\d+\.tfrecord({re.escape(COMPRESSED_SUFFIX)})?")


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of a data set.

    Attributes:
      files: Paths of its shards relative to the directory, in order of date.
      sessions: Number of sessions.
      clicks: Number of clicks in them.
      prefixes: Number of examples after prefix augmentation, clicks - sessions.
    """

    files: tuple[str, ...]
    sessions: int
    clicks: int
    prefixes: int


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The contents of a finished data set directory.

    Attributes:
      dataset: Name of the data set, such as `yoochoose4`.
      separator: Joins the item ids of a session that is written as one string.
      items: Number of items, which is the number of lines of the vocabulary.
      vocabulary_sha256: Checksum of the vocabulary file.
      splits: The parts by name, one for each of `SPLITS`.
      settings: Every setting of the preprocessing, by name.
      inputs: One `{"name", "bytes", "sha256"}` for each raw file.
    """

    dataset: str
    separator: str
    items: int
    vocabulary_sha256: str
    splits: dict[str, Split]
    settings: dict[str, Any]
    inputs: list[dict[str, Any]]

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """The further columns of the log that the data set has."""
        return tuple(self.settings.get("extra_columns", ()))

    def content(self) -> dict[str, Any]:
        """Return the content of the manifest's file."""
        return {"format_version": FORMAT_VERSION, **dataclasses.asdict(self)}

    def write(self, directory: Path) -> None:
        """Write the manifest, which marks the directory as finished."""
        files.write_json(directory / MANIFEST, self.content())

    def fingerprint(self) -> str:
        """Compute a checksum of the data set's input, settings, items and counts.

        It is the same for older names of settings as for the current ones, and whatever
        extra columns there are: no training reads them.
        """
        content = dataclasses.asdict(self)
        renamed = rename_aliases(ProtocolSettings, self.settings, MANIFEST, notify=False)
        content["settings"] = without_added(ProtocolSettings, renamed)
        content["settings"].pop("extra_columns", None)
        content["inputs"] = [file["sha256"] for file in self.inputs]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @classmethod
    def read(cls, directory: Location) -> "Manifest":
        """Read the manifest of a finished directory.

        Args:
          directory: The directory, or its URL.

        Raises:
          HlnError: The directory is missing, unfinished, of another format
            version or damaged.
        """
        directory = as_location(directory)
        path = join(directory, MANIFEST)
        remedy = f"run python -m beam_preprocess --output {directory} to write the data set"
        copy = stores.local_copy(directory, [MANIFEST])
        if not copy.is_dir():
            raise HlnError(f"there is no data set in {directory}: {remedy}")
        if not (copy / MANIFEST).exists():
            raise HlnError(
                f"{path} does not exist, and is written last: {directory} is an unfinished data "
                f"set, or none; {remedy}"
            )
        content = files.read_json(copy / MANIFEST, remedy)
        try:
            version = content.pop("format_version")
            if version != FORMAT_VERSION:
                raise HlnError(
                    f"{path} has format version {version}, expected {FORMAT_VERSION}: {remedy}"
                )
            content["splits"] = {
                name: Split(**{**split, "files": tuple(split["files"])})
                for name, split in ((name, content["splits"][name]) for name in SPLITS)
            }
            return cls(**content)
        except (AttributeError, KeyError, TypeError) as error:
            raise HlnError(f"{path} is not a data set manifest ({error}): {remedy}") from None


def record_compression(file: str) -> str:
    """Return TensorFlow's name for the compression of a TFRecord file, by the file's name."""
    return "GZIP" if file.endswith(COMPRESSED_SUFFIX) else ""


def is_of_data_set(name: str) -> bool:
    """Return whether a file's name, relative to its directory, is one of a data set."""
    return name in (MANIFEST, STATS, VOCABULARY) or bool(_SHARD.fullmatch(name))


def find_data_sets(directory: Location) -> list[Location]:
    """Find the finished data sets in a directory: itself, or several just below it.

    Raises:
      HlnError: A store cannot be read.
    """
    if stores.is_file(join(directory, MANIFEST)):
        return [directory]
    return stores.directories_with(directory, MANIFEST)


def read_vocabulary(directory: Location, manifest: Manifest) -> list[str]:
    """Read the vocabulary of a data set; see `read_item_ids`."""
    remedy = "write the data set again with python -m beam_preprocess"
    copy = stores.local_copy(as_location(directory), [VOCABULARY])
    return read_item_ids(copy / VOCABULARY, manifest.vocabulary_sha256, remedy)


def read_item_ids(path: Path, sha256: str, remedy: str) -> list[str]:
    """Read a vocabulary file.

    Args:
      path: The vocabulary file.
      sha256: The checksum that it must have.
      remedy: What the user can do if it has another one.

    Returns:
      Item ids in order of their indices, which begin at 1.

    Raises:
      HlnError: The file is missing or has another checksum.
    """
    if not path.is_file():
        raise HlnError(f"{path} does not exist: {remedy}")
    if files.sha256(path) != sha256:
        raise HlnError(f"{path} is damaged, its checksum is not the recorded one: {remedy}")
    # As bytes: text mode would read a carriage return in an item id as the end of a line.
    return path.read_bytes().decode("utf-8").split("\n")[:-1]


def check_extra(columns: Sequence[str], extra: Sequence[str], source: str) -> None:
    """Check that there are some extra columns.

    Args:
      columns: The columns.
      extra: Those that there are.
      source: What has them, for the error.

    Raises:
      UsageError: One is not.
    """
    for column in columns:
        if column not in extra:
            raise UsageError(
                f"{source} has no extra column {column!r} of the log; it has "
                f"{', '.join(map(repr, extra)) or 'none'}: write the data set with "
                f"python -m beam_preprocess --extra_columns {' '.join([*extra, column])}"
            )


def vocabulary_text(item_ids: Iterable[str]) -> bytes:
    """Return the content of a vocabulary file: an item id a line, in order of index."""
    return "".join(f"{item_id}\n" for item_id in item_ids).encode("utf-8")
