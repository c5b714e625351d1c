"""Ids that differ only in their spelling, such as 7, 007 and 7.0, or ` i1` and `i1`."""

import dataclasses
import decimal
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_EXAMPLES = 3
# Ids that may be another spelling of one; most logs have none.
_SUSPICIOUS = r"^\s|\s$|^\+\d|^0\d|^\d+\.\d*$|^\d+(\.\d*)?[eE][+-]?\d+$"
_NUMBER = re.compile(r"\+?\d+(\.\d*)?([eE][+-]?\d{1,2})?")


@dataclasses.dataclass(frozen=True)
class Spellings:
    """Ids that are written in several ways.

    Attributes:
      ids: Number of ids, each of which is written in several ways.
      clicks: Number of clicks on them.
      examples: The first of them, each the number of clicks by spelling.
    """

    ids: int = 0
    clicks: int = 0
    examples: tuple[tuple[tuple[str, int], ...], ...] = ()

    def __add__(self, other: "Spellings") -> "Spellings":
        examples = sorted((*self.examples, *other.examples))[:_EXAMPLES]
        return Spellings(self.ids + other.ids, self.clicks + other.clicks, tuple(examples))

    def description(self) -> dict[str, Any]:
        """Return the counts as stats.json has them."""
        return {
            "ids": self.ids,
            "clicks": self.clicks,
            "examples": [dict(example) for example in self.examples],
        }


def normalise_ids(ids: pa.StringArray) -> pa.StringArray:
    """Replace ids by one spelling: without spaces around, and numbers in their shortest form."""
    is_suspicious = pc.match_substring_regex(ids, _SUSPICIOUS)
    if not pc.any(is_suspicious, min_count=0).as_py():
        return ids
    normal = pa.array(map(_normalise, ids.filter(is_suspicious).to_pylist()), pa.string())
    return pc.replace_with_mask(ids, is_suspicious, normal)


def _normalise(text: str) -> str:
    text = text.strip() or text
    if not _NUMBER.fullmatch(text):
        return text
    shortest = format(decimal.Decimal(text), "f")
    return shortest.rstrip("0").rstrip(".") if "." in shortest else shortest


def find_spellings(ids: pa.StringArray, clicks: np.ndarray) -> Spellings:
    """Find the ids that are written in several ways.

    Args:
      ids: Different ids.
      clicks: Number of clicks of each id, int64 [ids].
    """
    normal = normalise_ids(ids)
    if normal is ids:
        return Spellings()
    encoded = normal.dictionary_encode().indices.to_numpy()
    is_several = np.bincount(encoded)[encoded] > 1
    order = np.flatnonzero(is_several)[np.argsort(encoded[is_several], kind="stable")]
    bounds = np.flatnonzero(np.diff(encoded[order])) + 1
    groups = [
        tuple(sorted((ids[row].as_py(), int(clicks[row])) for row in group.tolist()))
        for group in np.split(order, bounds)
        if len(group)
    ]
    return Spellings(len(groups), int(clicks[is_several].sum()), tuple(sorted(groups)[:_EXAMPLES]))
