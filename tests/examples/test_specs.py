"""The example specs read logs in the documented forms, and the command trains on them."""

import datetime
import json
from pathlib import Path

import pytest
from commands import run
from log_forms import FORMS, clicks, milliseconds
from raw_logs import read_log

from beam_preprocess.spec import read_spec

SPECS = {path.stem: path for path in (Path(__file__).parents[2] / "examples/specs").glob("*.yaml")}
# What a log has of a click's time.
PRECISION = {name: datetime.timedelta(seconds=1) for name in ("rees46", "movielens", "lastfm1k")}
PRECISION["diginetica"] = datetime.timedelta(days=1)


def test_there_is_a_spec_for_each_form():
    assert set(SPECS) == set(FORMS)


@pytest.mark.parametrize("name", SPECS)
def test_a_spec_reads_the_clicks_of_its_log(tmp_path, name):
    rows = clicks()
    given = FORMS[name](tmp_path, rows)
    spec = read_spec(SPECS[name])
    tables, found = read_log([given], spec.log, **spec.defaults)
    assert found.problem == "" and found.malformed == 0
    assert len(found.warnings) == (name == "globo")  # an hour is empty
    moments = sorted(time // 1000 for table in tables for time in table["time"].to_pylist())
    unit = PRECISION.get(name, datetime.timedelta(milliseconds=1)) // datetime.timedelta(0, 0, 1000)
    assert moments == sorted(milliseconds(time) // unit * unit for _, _, time, _ in rows)
    keys = {key for table in tables for key in table["session"].to_pylist()}
    assert len(keys) == len({row[1 if spec.log.user else 0] for row in rows})
    items = {item for table in tables for item in table["item"].to_pylist()}
    assert len(items) == len({item for _, _, _, item in rows})


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_the_command_trains_on_a_log_by_its_spec(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    given = FORMS[name](tmp_path / "raw", clicks())
    log = ("--dataset", "custom", "--spec", SPECS[name], "--input", given)
    outcome = run("hln_tf.train", *log, "--model", "popularity")
    assert outcome.code == 0, outcome.err
    (path,) = tmp_path.glob("runs/custom-*/popularity/metrics.json")
    metrics = json.loads(path.read_text())
    assert metrics["test"]["prefixes"] > 0
