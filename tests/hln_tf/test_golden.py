"""Artefacts that an earlier version wrote load, and give what it recorded."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import run

import hln_tf

GOLDEN = Path(__file__).parents[1] / "golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text("utf-8"))


def load_make():
    spec = importlib.util.spec_from_file_location("golden_make", GOLDEN / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = load_make()


def assert_same(found, expected, where=""):
    """Check that two values of plain types are equal, floats to 1e-5."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for name, value in expected.items():
            assert_same(found[name], value, f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for place, value in enumerate(expected):
            assert_same(found[place], value, f"{where}[{place}]")
    elif isinstance(expected, float):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5, err_msg=where)
    else:
        assert found == expected, where


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """What this version computes from a copy of the artefacts."""
    copy = tmp_path_factory.mktemp("golden")
    for name in make.ARTEFACTS:
        if (GOLDEN / name).is_dir():
            shutil.copytree(GOLDEN / name, copy / name)
        else:
            shutil.copy(GOLDEN / name, copy / name)
    return make.compute(copy)


@pytest.mark.parametrize("artefact", ["data", "run", "export", "keras"])
def test_an_artefact_gives_what_was_recorded(computed, artefact):
    assert_same(computed[artefact], EXPECTED[artefact], artefact)


def test_the_export_recommends_what_the_run_does():
    for ids, (items, is_fallback) in zip(
        EXPECTED["export"]["item_ids"], EXPECTED["run"]["recommend"], strict=True
    ):
        assert not is_fallback and ids[: len(items)] == [item for item, _ in items]


@pytest.mark.slow
def test_training_resumes_from_the_checkpoint(tmp_path):
    """A run whose results and weights are lost is finished again, without another epoch."""
    workdir = tmp_path / "run"
    shutil.copytree(GOLDEN / "run", workdir)
    (workdir / "metrics.json").unlink()
    shutil.rmtree(workdir / "model")
    where = ("--dataset", "sample", "--data_dir", GOLDEN / "data", "--workdir", workdir)
    outcome = run("hln_tf.train", *where, *make.RUN)
    assert outcome.code == 0, outcome.err
    recorded = json.loads((GOLDEN / "run" / "metrics.json").read_text())
    metrics = json.loads((workdir / "metrics.json").read_text())
    assert_same(metrics["test"], recorded["test"])
    sessions = EXPECTED["data"]["sessions"]
    found = hln_tf.load(workdir).recommend(sessions, k=5)
    assert_same(make.plain(found), EXPECTED["run"]["recommend"])


def test_the_artefacts_are_small_and_name_no_machine():
    folders = [GOLDEN / name for name in make.ARTEFACTS]
    paths = [path for each in folders for path in (each, *each.rglob("*")) if path.is_file()]
    assert sum(path.stat().st_size for path in paths) < 2_000_000
    for path in paths:
        content = path.read_bytes()
        for folder in (b"/tmp/", b"/home/", b"/root/", b"/Users/"):
            assert folder not in content, path
