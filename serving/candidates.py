"""Which items an export may recommend, from files of raw ids."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hln_tf.common.errors import HlnError

FORMAT = "one raw item id on each line"


def choose_candidates(
    vocabulary: Sequence[str], allow: Path | None, deny: Path | None
) -> tuple[np.ndarray | None, list[str]]:
    """The items that may be recommended: those allowed, without those denied.

    Ids that the model does not know are no error, since lists of a shop are of
    its day and not of the training's; they are counted and told.

    Args:
      vocabulary: Raw ids that the model knows.
      allow: File of the items that may be recommended; None for all.
      deny: File of the items that may not be; None for none.

    Returns:
      Their indices in the vocabulary, int64 [candidates], rising, or None where
      no file is given; and a sentence on each file with unknown ids.

    Raises:
      HlnError: A file cannot be read, or no item is left.
    """
    if allow is None and deny is None:
        return None, []
    rows = {raw_id: row for row, raw_id in enumerate(vocabulary)}
    notes: list[str] = []

    def known(flag: str, path: Path) -> set[int]:
        ids = dict(read_ids(flag, path))
        unknown = [raw_id for raw_id in ids if raw_id not in rows]
        if unknown:
            notes.append(
                f"{flag} {path}: the model does not know {len(unknown)} of {len(ids)} ids, "
                f"the first is {unknown[0]!r} in line {ids[unknown[0]]}"
            )
        return {rows[raw_id] for raw_id in ids if raw_id in rows}

    chosen = set(range(len(vocabulary))) if allow is None else known("--allow_items", allow)
    if deny is not None:
        chosen -= known("--deny_items", deny)
    if not chosen:
        files = " and ".join(str(path) for path in (allow, deny) if path is not None)
        raise HlnError(
            ". ".join([f"{files} leave no item to recommend: expected {FORMAT}", *notes])
        )
    return np.array(sorted(chosen)), notes


def read_ids(flag: str, path: Path) -> Iterator[tuple[str, int]]:
    """Yields the raw ids of a file and their lines; empty lines are skipped.

    Raises:
      HlnError: The file cannot be read, or a line is not UTF-8.
    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise HlnError(
            f"{flag} {path} cannot be read ({error.strerror}): name a file with {FORMAT}"
        ) from None
    for number, line in enumerate(lines, start=1):
        try:
            raw_id = line.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError:
            raise HlnError(
                f"{flag} {path}, line {number} is not valid UTF-8: write the ids as UTF-8 text"
            ) from None
        if raw_id:
            yield raw_id, number
