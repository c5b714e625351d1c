"""Other packages next to this one; what is not installed is skipped."""

import re
import sys

import numpy as np
import pytest
from commands import run
from session_lists import to_sessions

from benchmarks.others.rounds import AlternativesSettings, Work
from hln_tf.data.prefixes import Prefixes

QUICK = ("--prefixes", "40", "--rounds", "1", "--batch_size", "8", "--num_negatives", "5")
SMALL = ("--dim", "4", "--hidden_dim", "5", "--num_groups", "2")


@pytest.fixture
def sessions():
    random = np.random.default_rng(1)
    return to_sessions([random.integers(1, 9, random.integers(2, 7)).tolist() for _ in range(30)])


@pytest.fixture
def work(sessions):
    return Work.choose(sessions, 8, AlternativesSettings(prefixes=50, batch_size=7, max_length=3))


def test_all_are_given_the_same_examples(work, sessions):
    """The batches have each chosen prefix once, cut to its last clicks."""
    every = Prefixes.from_sessions(sessions, 3)
    order = np.isin(every.targets, work.prefixes.targets)
    chosen = Prefixes(every.items, every.targets[order], every.lengths[order])
    expected = sorted(
        (*batch["items"][0], batch["target"][0])
        for batch in chosen.batches(np.arange(len(chosen)), 1)
    )
    found = []
    for items, target, lengths in work.shuffled_batches():
        assert items.shape[1] == lengths.max() and len(items) <= 7
        found += [
            (*row[:length], label)
            for row, label, length in zip(items, target, lengths, strict=True)
        ]
    assert sorted(found) == expected
    assert len(found) == 50


def test_whole_sessions_have_about_as_many_targets(work, sessions):
    found = work.whole_sessions()
    assert found.prefixes >= 50 > found.prefixes - found.lengths[0] + 1
    np.testing.assert_array_equal(found.items, sessions.items[-len(found.items) :])


@pytest.mark.slow
def test_what_is_not_installed_is_skipped_with_a_line(data, monkeypatch):
    for package in ("torch", "recbole", "implicit"):
        monkeypatch.setitem(sys.modules, package, None)
    for name in ("torch_hln", "recbole_models", "gru4rec_official", "implicit_bpr"):
        monkeypatch.delitem(sys.modules, f"benchmarks.others.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "triton", None)
    outcome = run("benchmarks.alternatives", "--data_dir", data, *QUICK, *SMALL)
    assert outcome.code == 0, outcome.err
    lines = outcome.out.strip().splitlines()
    assert lines[0].startswith("30 items, 40 train prefixes in batches of 8, 2 threads;")
    assert len(lines[2:]) == 6
    assert all(re.search(r" is skipped: [\w.]+ cannot be imported$", line) for line in lines[2:])


@pytest.mark.slow
def test_pytorch_next_to_this_package(data, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, "triton", None)
    flags = ("--data_dir", data, *QUICK, *SMALL, "--cpu_time")
    outcome = run("benchmarks.alternatives", *flags)
    assert outcome.code == 0, outcome.err
    rows = [re.split(r" *\| *", line.strip("| ")) for line in outcome.out.splitlines()]
    rows = {row[0]: row[1:] for row in rows if len(row) == 5}
    name, *rates, times = rows["HLN in PyTorch, of the equations"]
    assert name == "hln"
    theirs, own = (float(each.split(" / ")[0].replace(",", "")) for each in rates)
    assert float(times.split(" / ")[0]) == pytest.approx(own / theirs, rel=0.05)


def test_pytorch_hln_that_leaps_over_nothing_is_a_gru():
    """Each pass is then the same, and padding changes nothing."""
    torch = pytest.importorskip("torch")
    from benchmarks.others.torch_hln import HLN

    torch.manual_seed(1)
    model = HLN(num_items=8, d=4, n=5, num_groups=3)
    with torch.no_grad():
        model.u_q.bias.fill_(-100.0)
    items = torch.tensor([[3, 1, 2, 0, 0], [4, 4, 0, 0, 0]])
    torch.testing.assert_close(model(items)[:1], model(items[:1, :3]))
    h = torch.zeros(1, 5)
    for item in (3, 1, 2):
        h = model.gru(model.X.weight[item][None], h)
    torch.testing.assert_close(model(items)[:1], 3 * model.W(h))
    with torch.no_grad():
        model.u_q.bias.fill_(100.0)
    torch.testing.assert_close(model(items), torch.zeros(2, 4))
