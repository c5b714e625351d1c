"""The soak as a command, and its comparison of memory."""

import pytest
from commands import run

from benchmarks.soak import growth


def test_growth_compares_the_last_reloads_with_the_first_settled_ones():
    before = [1000] * 9
    assert growth([*before, 100, 100, 100]) is None
    assert growth([*before, 90, 100, 95, 100, 105, 100]) == pytest.approx(0.05)
    assert growth([*before, 100, 100, 100, 100]) == 0


@pytest.mark.slow
def test_a_short_soak(hln, data):
    flags = ("--minutes", "0.3", "--reload_seconds", "3")
    outcome = run("benchmarks.soak", "--model_base_path", hln, "--data_dir", data, *flags)
    assert outcome.code == 0, outcome.err
    rows = [line for line in outcome.out.splitlines() if line.startswith("| ")][2:]
    assert rows
    for row in rows:
        _, _, requests, hostile, errors, memory = row.strip("| ").split(" | ")
        assert int(requests.replace(",", "")) > 0 and int(hostile) > 0
        assert errors == "0" and int(memory.replace(",", "")) > 100
    assert "fewer than 13 reloads" in outcome.out
