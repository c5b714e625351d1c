"""Evaluation of the optimum on a prepared sample."""

import dataclasses

import numpy as np
import pytest
import toy

from beam_preprocess.sample.evaluation import OptimumSettings, evaluate, match_items
from beam_preprocess.sample.generator import CLICKS, LogSettings, generate, read_process
from beam_preprocess.sample.optimum import Optimum
from beam_preprocess.sample.process import ProcessSettings
from hln_tf.common import files
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.training import CONFIG, METRICS

ITEMS = 40


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Prepare a log of 150 test sessions; item indices are in reverse, the first item is dropped.

    Returns the settings, the process and the sessions as the process's items.
    """
    root = tmp_path_factory.mktemp("sample")
    generate(
        ProcessSettings(items=ITEMS, groups=6, group_items=16),
        LogSettings(output=str(root / "raw"), sessions=150),
    )
    process, checksum = read_process(root / "raw")
    index = {item_id: item for item, item_id in enumerate(process.item_ids.tolist())}
    sessions = {}
    for line in (root / "raw" / CLICKS).read_text().splitlines():
        session, _, item_id, _ = line.split(",")
        sessions.setdefault(session, []).append(index[int(item_id)])
    sessions = [[item for item in session if item] for session in sessions.values()]
    sessions = [session for session in sessions if len(session) > 1]
    encoded = [[ITEMS - item for item in session] for session in sessions]
    manifest = toy.write_dataset(root / "data", {"test": encoded}, num_items=ITEMS - 1)
    inputs = [{"name": CLICKS, "bytes": 0, "sha256": checksum}]
    manifest = dataclasses.replace(manifest, inputs=inputs)
    toy.rename_items(root / "data", manifest, process.item_ids[:0:-1].tolist())
    settings = OptimumSettings(
        raw_dir=str(root / "raw"), data_dir=str(root / "data"), workdir=str(root / "optimum")
    )
    return settings, process, sessions


def test_metrics_rank_every_target_among_the_vocabulary(prepared):
    settings, process, sessions = prepared
    metrics = evaluate(settings)
    assert files.read_json(f"{settings.workdir}/{METRICS}", "") == metrics
    ranks = []
    for session in sessions:
        scores = Optimum(process).score_prefixes(session)[:, 1:]
        for row, target in zip(scores, session[1:], strict=True):
            ranks.append(np.sum(row >= row[target - 1]))
    ranks = np.array(ranks)
    test = metrics.pop("test")
    assert metrics == {
        "model": "optimum",
        "dataset": "sample",
        "trained_on": "the generator's own process",
    }
    assert test.pop("prefixes") == len(ranks)
    expected = {f"recall@{k}": np.mean(ranks <= k) for k in (5, 10, 20)}
    expected |= {f"mrr@{k}": np.mean((ranks <= k) / ranks) for k in (5, 10, 20)}
    assert test == pytest.approx(expected, abs=1e-6)


def test_a_data_set_of_another_log_is_refused(prepared, tmp_path):
    settings, _, _ = prepared
    generate(
        ProcessSettings(items=ITEMS, groups=6, group_items=16, seed=2),
        LogSettings(output=str(tmp_path / "raw"), sessions=10),
    )
    other = dataclasses.replace(settings, raw_dir=str(tmp_path / "raw"))
    with pytest.raises(HlnError, match="was not prepared from the log in"):
        evaluate(other)


def test_a_directory_without_a_data_set_is_named(prepared, tmp_path):
    settings, _, _ = prepared
    with pytest.raises(HlnError, match="there is no data set in"):
        evaluate(dataclasses.replace(settings, data_dir=str(tmp_path / "none")))


def test_a_trained_models_run_directory_is_refused(prepared, tmp_path):
    settings, _, _ = prepared
    (tmp_path / CONFIG).write_text("{}")
    with pytest.raises(UsageError, match="holds a trained model's run"):
        evaluate(dataclasses.replace(settings, workdir=str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == [CONFIG]


def test_an_item_that_the_process_does_not_have_is_named(prepared):
    _, process, _ = prepared
    with pytest.raises(HlnError, match="holds item 'i1'"):
        match_items(process, ["i1"])
