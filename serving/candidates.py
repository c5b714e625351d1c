"""Candidates of an export: the items that it may recommend, from files of item ids."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hln_tf.common.errors import HlnError

FORMAT = "one item id on each line"


def choose_candidates(
    vocabulary: Sequence[str], allow: Path | None, deny: Path | None
) -> tuple[np.ndarray | None, list[str]]:
    """Choose the items that may be recommended: those allowed, without those denied.

    Ids that are not in the vocabulary are no error, because the lists of a shop
    are newer than the training data; they are counted and reported.

    Args:
      vocabulary: Item ids that the model knows.
      allow: File of the items that may be recommended; None for all.
      deny: File of the items that may not be; None for none.

    Returns:
      The indices of the candidates in the vocabulary, int64 [candidates],
      ascending, or None if no file is given; and one sentence for each file with
      unknown ids.

    Raises:
      HlnError: A file cannot be read, or no item is left.
    """
    if allow is None and deny is None:
        return None, []
    indices = {item_id: index for index, item_id in enumerate(vocabulary)}
    notes: list[str] = []

    def known(flag: str, path: Path) -> set[int]:
        lines = dict(read_ids(flag, path))
        unknown = [item_id for item_id in lines if item_id not in indices]
        if unknown:
            notes.append(
                f"{flag} {path}: the model does not know {len(unknown)} of {len(lines)} ids, "
                f"the first is {unknown[0]!r} in line {lines[unknown[0]]}"
            )
        return {indices[item_id] for item_id in lines if item_id in indices}

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
    """Yield the item ids of a file with their line numbers, without empty lines.

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
            item_id = line.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError:
            raise HlnError(
                f"{flag} {path}, line {number} is not valid UTF-8: write the ids as UTF-8 text"
            ) from None
        if item_id:
            yield item_id, number
