"""Published figures of the models, read from `published.csv`. Imports no TensorFlow."""

import csv
import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

from benchmarks.model_preset import ModelPreset

# The metrics of the paper's Table 1, of which `impossible` checks the combination.
TABLE_1_METRICS = ("mrr@5", "mrr@10", "recall@5", "recall@10")
TABLE_1 = "the paper's Table 1"
# In the column `preset`: the figures apply to all presets.
ANY_PRESET = "*"
# In the column `metric`: the size of the paper's data set.
ITEMS = "items"
_FILE = Path(__file__).parents[1] / "published.csv"
# Largest rounding error of the difference of two figures with two decimals.
_ROUNDING = 0.01 + 1e-9


@dataclasses.dataclass(frozen=True)
class Published:
    """A published figure.

    Attributes:
      value: The figure, in percent.
      source: Where it is published.
      is_possible: False if no ranking can produce it together with the others of its row.
    """

    value: float
    source: str
    is_possible: bool = True


def datasets() -> tuple[str, ...]:
    """Return the names of the paper's data sets."""
    return tuple(item_counts())


def item_counts() -> dict[str, int]:
    """Return the number of items of the paper's data sets, by name."""
    return {row["dataset"]: int(row["value"]) for row in _rows() if row["metric"] == ITEMS}


def published_for(dataset: str, model: ModelPreset) -> dict[str, Published]:
    """Look up the published figures of a row, of which there are none for changed settings."""
    return {} if model.changes else published(dataset, model.model, model.preset)


def published(dataset: str, model: str, preset: str) -> dict[str, Published]:
    """Look up the published figures of a model on a data set.

    Returns:
      The figures by metric, empty if none is published.
    """
    figures = {
        row["metric"]: Published(float(row["value"]), row["source"])
        for row in _rows()
        if (row["dataset"], row["model"]) == (dataset, model)
        and row["preset"] in (preset, ANY_PRESET)
    }
    in_table = {name: figure for name, figure in figures.items() if figure.source == TABLE_1}
    if in_table:
        for name in impossible({name: figure.value for name, figure in in_table.items()}):
            figures[name] = dataclasses.replace(figures[name], is_possible=False)
    return figures


def impossible(figures: Mapping[str, float]) -> set[str]:
    """Find the figures of a row that no ranking can produce together.

    A hit at rank r adds 1 to Recall@k and 1/r to MRR@k where r <= k, so MRR@k is
    at most Recall@k, and what MRR gains from 5 to 10 is between a tenth and a
    sixth of what Recall gains. Figures that only rounding puts outside are possible.

    Args:
      figures: Values of `TABLE_1_METRICS`, in percent with two decimals.

    Returns:
      Names of metrics; all metrics of a broken rule, because any of them may be wrong.
    """
    broken = set()
    for k in (5, 10):
        if figures[f"mrr@{k}"] - figures[f"recall@{k}"] > _ROUNDING:
            broken |= {f"mrr@{k}", f"recall@{k}"}
    mrr = figures["mrr@10"] - figures["mrr@5"]
    recall = figures["recall@10"] - figures["recall@5"]
    low, high = (recall - _ROUNDING) / 10, (recall + _ROUNDING) / 6
    if not low - _ROUNDING <= mrr <= high + _ROUNDING:
        broken |= set(TABLE_1_METRICS)
    return broken


@functools.cache
def _rows() -> tuple[dict[str, str], ...]:
    with open(_FILE, newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))
