"""Complete public logs, which are not in the repository: name them in the environment.

`HLN_TF_YOOCHOOSE=yoochoose-clicks.dat python -m pytest -m benchmark tests/beam_preprocess`,
`HLN_TF_DIGINETICA=train-item-views.csv` for the other.
"""

import csv
import gzip
import json
import os
from datetime import datetime
from pathlib import Path

import protocol
import pytest

from beam_preprocess import Settings, Work, prepare
from beam_preprocess.datasets import DATASETS

pytestmark = pytest.mark.benchmark

# Counts of the published papers: train sessions, prefixes of the fraction, items, test.
PUBLISHED = {
    "yoochoose64": (7_966_257, 369_859, 37_483, 15_324, 55_898),
    "yoochoose4": (7_966_257, 5_917_745, 37_483, 15_324, 55_898),
    # As SR-GNN's script prints them, which counts test sessions before it drops unseen items.
    "diginetica": (186_670, 719_470, 43_097, None, 60_858),
}
VARIABLES = {"diginetica": "HLN_TF_DIGINETICA"}


def raw_log(variable):
    path = os.environ.get(variable)
    if not path:
        pytest.skip(f"{variable} does not name a raw log")
    return Path(path)


@pytest.mark.parametrize("dataset", PUBLISHED)
def test_published_counts(dataset, tmp_path):
    raw = raw_log(VARIABLES.get(dataset, "HLN_TF_YOOCHOOSE"))
    settings = Settings(dataset=dataset, **DATASETS[dataset].defaults)
    stats = counts(prepare_at(raw, tmp_path / "data", settings, Work()))
    published = PUBLISHED[dataset]
    assert published == tuple(
        count if known is not None else None for count, known in zip(stats, published, strict=True)
    )


@pytest.mark.parametrize(("workers", "shards"), [(1, 1), (2, 7)])
@pytest.mark.parametrize("fraction", ["1", "1/2", "1/128"])
def test_sessions_equal_those_of_the_reference(fraction, workers, shards, tmp_path):
    raw = raw_log("HLN_TF_CLICKS")
    few = int(os.environ.get("HLN_TF_MIN_ITEM_COUNT", "5"))
    settings = Settings(
        dataset="sample", train_fraction=fraction, shards=shards, min_item_count=few
    )
    directory = prepare_at(raw, tmp_path / "data", settings, Work(workers=workers))
    expected, vocabulary = protocol.reference_yoochoose(rows(raw), settings)
    split, found = protocol.read(directory)
    assert found == vocabulary
    for name, sessions in expected.items():
        assert split[name] == [(date, items) for date, items in sessions], name


def prepare_at(raw, directory, settings, work):
    prepare([str(raw)], str(directory), settings, work)
    return directory


def counts(directory):
    stats = json.loads((directory / "stats.json").read_text())
    return (
        stats["full_train"]["sessions"],
        stats["train_all"]["prefixes"],
        stats["items"],
        stats["test"]["sessions"],
        stats["test"]["prefixes"],
    )


def rows(raw):
    """Yield (session, seconds after the reference's midnight, item) in file order."""
    with (gzip.open if raw.suffix == ".gz" else open)(raw, "rt", newline="") as file:
        for session, time, item, _ in csv.reader(file, quoting=csv.QUOTE_NONE):
            moment = datetime.strptime(time[:19] + "+0000", "%Y-%m-%dT%H:%M:%S%z")
            yield session, int((moment - protocol.MIDNIGHT).total_seconds()), item
