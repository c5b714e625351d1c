import importlib.metadata

import pytest
from commands import run

from benchmarks.model_preset import ModelPreset
from hln_tf.models import registry

COMMAND = ("benchmarks.models",)
QUICK = ("--prefixes", "200", "--rounds", "1")


@pytest.mark.slow
def test_models_are_compared_with_the_first(data):
    outcome = run(*COMMAND, "--data_dir", data, "--models", "stamp", "hln:tuned", *QUICK)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("30 items, 200 of 360 train prefixes;")
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in outcome.out.splitlines()
        if line.startswith("|")
    ][2:]
    assert [row[:3] for row in rows] == [
        ["stamp (paper)", "512", "softmax"],
        ["hln (tuned)", "256", "softmax"],
    ]
    assert rows[0][-1] == "1.00 / 1.00"
    seconds = [float(row[4].split(" / ")[0]) for row in rows]
    rates = [float(row[3].split(" / ")[0].replace(",", "")) for row in rows]
    assert "examples/s" in outcome.out
    for one, rate in zip(seconds, rates, strict=True):
        # Both are rounded.
        assert 360 / (rate + 0.5) - 0.051 <= one <= 360 / (rate - 0.5) + 0.051


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--models", "sknn"], "--models has sknn, which counts and has no training steps"),
        (["--models", "nobody"], "expected models among: hln, s_pop"),
        (["--models", "stamp", "--prefixes", "0"], "--prefixes is 0"),
        ([], "--models"),
    ],
)
def test_bad_input(flags, message, data):
    outcome = run(*COMMAND, "--data_dir", data, *flags)
    assert message in outcome.sentence(2)


def test_a_model_of_an_installed_package_is_a_model(monkeypatch):
    point = importlib.metadata.EntryPoint(
        "mine", "hln_tf.models.registry:MINE", registry.ENTRY_POINTS
    )
    monkeypatch.setattr(registry, "MINE", registry.MODELS["markov"], raising=False)
    monkeypatch.setattr(registry, "_entry_points", lambda: importlib.metadata.EntryPoints([point]))
    monkeypatch.setattr(registry, "MODELS", dict(registry.MODELS))
    assert str(ModelPreset.parse("mine")) == "mine (paper)"
