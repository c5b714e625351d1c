"""Published figures of the ten models, in percent. Imports no TensorFlow."""

import dataclasses
from collections.abc import Mapping

# The columns of the paper's Table 1 for one data set, in its order.
COLUMNS = ("mrr@5", "mrr@10", "recall@5", "recall@10")
TABLE_1 = {
    "yoochoose64": {
        "s_pop": (1.23, 1.79, 2.21, 3.24),
        "sknn": (22.34, 24.94, 38.48, 48.69),
        "bpr_mf": (17.65, 18.89, 24.16, 31.30),
        "fpmc": (19.28, 20.05, 28.91, 37.44),
        "gru4rec": (22.82, 24.53, 39.67, 52.43),
        "stamp": (23.55, 25.17, 40.09, 52.96),
        "narm": (25.73, 27.42, 45.21, 57.83),
        "csrm": (27.13, 28.24, 45.82, 57.96),
        "sr_gnn": (27.26, 28.92, 45.39, 58.01),
        "hln": (28.52, 29.86, 46.53, 58.91),
    },
    "yoochoose4": {
        "s_pop": (0.38, 0.46, 0.89, 1.52),
        "sknn": (24.12, 25.78, 39.29, 50.50),
        "bpr_mf": (15.37, 16.24, 21.77, 22.93),
        "fpmc": (17.33, 18.54, 27.09, 36.12),
        "gru4rec": (23.29, 26.05, 42.38, 55.49),
        "stamp": (25.26, 28.32, 43.16, 57.67),
        "narm": (26.77, 28.51, 45.09, 57.98),
        "csrm": (28.64, 29.14, 48.09, 60.54),
        "sr_gnn": (29.34, 31.08, 48.15, 61.06),
        "hln": (29.64, 31.37, 48.52, 61.47),
    },
    "lastfm": {
        "s_pop": (2.15, 2.64, 3.77, 4.63),
        "sknn": (26.65, 27.30, 25.89, 27.48),
        "bpr_mf": (14.19, 15.37, 19.06, 20.14),
        "fpmc": (17.60, 17.91, 23.62, 24.58),
        "gru4rec": (25.73, 25.92, 20.65, 20.95),
        "stamp": (26.03, 26.57, 30.31, 30.66),
        "narm": (26.02, 26.69, 31.68, 36.27),
        "csrm": (32.22, 33.47, 31.61, 36.46),
        "sr_gnn": (27.34, 27.91, 32.04, 36.37),
        "hln": (32.57, 32.97, 34.18, 38.09),
    },
}
# Items of the paper's data sets.
ITEMS = {"yoochoose64": 37_483, "yoochoose4": 37_483, "lastfm": 28_946}

# What the paper leaves out, by data set, model and preset: Recall@20, MRR@20 and their source.
OTHERS = {
    ("yoochoose64", "sknn", "paper"): (
        64.23,
        25.22,
        "a public re-evaluation with tuned settings, over about 17,700 candidates",
    ),
    ("yoochoose64", "gru4rec", "paper"): (60.64, 22.89, "the SR-GNN paper"),
    ("yoochoose64", "gru4rec", "modern"): (
        65.28,
        27.52,
        "a public re-evaluation with tuned settings, over about 17,700 candidates",
    ),
    ("yoochoose64", "stamp", "paper"): (68.74, 29.67, "the STAMP paper"),
    ("yoochoose64", "narm", "paper"): (68.32, 28.63, "the NARM paper"),
    ("yoochoose64", "sr_gnn", "paper"): (70.57, 30.94, "the SR-GNN paper"),
}
# How far a difference of two printed figures may lie from that of the exact ones.
_ROUNDING = 0.01 + 1e-9


@dataclasses.dataclass(frozen=True)
class Published:
    """A published figure.

    Attributes:
      value: In percent.
      is_possible: Whether a ranking can produce it beside the others of its row.
      source: Where it stands, None for the paper's Table 1.
    """

    value: float
    is_possible: bool = True
    source: str | None = None


def published(dataset: str, model: str, preset: str) -> dict[str, Published]:
    """What is published of a model on a data set, by metric; empty where nothing is.

    The paper's rows are those of the authors' settings, presets `paper`; its own
    model's stands beside all of HLN's presets.
    """
    found = {}
    row = TABLE_1.get(dataset, {}).get(model)
    if row and (preset == "paper" or model == "hln"):
        figures = dict(zip(COLUMNS, row, strict=True))
        broken = impossible(figures)
        found = {name: Published(value, name not in broken) for name, value in figures.items()}
    if (dataset, model, preset) in OTHERS:
        recall, mrr, source = OTHERS[dataset, model, preset]
        found["recall@20"] = Published(recall, source=source)
        found["mrr@20"] = Published(mrr, source=source)
    return found


def impossible(figures: Mapping[str, float]) -> set[str]:
    """The figures of a row that no ranking can produce together.

    A hit at rank r adds 1 to Recall@k and 1/r to MRR@k where r <= k, so MRR@k is
    at most Recall@k, and what MRR gains from 5 to 10 is between a tenth and a
    sixth of what Recall gains. Figures that only rounding puts outside are possible.

    Args:
      figures: Those of `COLUMNS`, in percent with two decimals.

    Returns:
      Names of metrics; all of a rule that is broken, as nothing tells which is wrong.
    """
    broken = set()
    for k in (5, 10):
        if figures[f"mrr@{k}"] - figures[f"recall@{k}"] > _ROUNDING:
            broken |= {f"mrr@{k}", f"recall@{k}"}
    mrr = figures["mrr@10"] - figures["mrr@5"]
    recall = figures["recall@10"] - figures["recall@5"]
    low, high = (recall - _ROUNDING) / 10, (recall + _ROUNDING) / 6
    if not low - _ROUNDING <= mrr <= high + _ROUNDING:
        broken |= set(COLUMNS)
    return broken
