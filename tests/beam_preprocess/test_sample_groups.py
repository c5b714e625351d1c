"""The comparison of a model's preference groups with the planted ones."""

import numpy as np
import pytest
import toy

from beam_preprocess.sample import groups
from beam_preprocess.sample.__main__ import main
from beam_preprocess.sample.generator import CLICKS, NOISE, LogSettings, generate
from beam_preprocess.sample.process import ProcessSettings
from hln_tf import train
from hln_tf.common import cli
from hln_tf.data.layout import VOCABULARY

ITEMS = 40


@pytest.mark.parametrize(
    ("first", "second", "index"),
    [
        ([0, 0, 1, 1], [1, 1, 0, 0], 1.0),
        # 1 pair together in both, of 2 and 1 in each; 1/3 expected, 3/2 at most.
        ([0, 0, 1, 1], [0, 0, 1, 2], 4 / 7),
        ([0, 1, 0, 1], [0, 0, 1, 1], -0.5),
        ([0, 0, 1, 1], [2, 2, 2, 2], 0.0),
        ([0, 0], [1, 1], 1.0),
    ],
)
def test_adjusted_rand_index_by_hand(first, second, index):
    found = groups.adjusted_rand_index(np.array(first), np.array(second))
    assert found == pytest.approx(index)


def test_noise_and_sessions_of_one_group_are_left_out():
    planted = [np.array([3, 3, 5, 5, NOISE]), np.array([2, 2, 2]), np.array([NOISE, 1])]
    found = [np.array([0, 0, 1, 1, 0]), np.array([0, 1, 2]), np.array([0, 1])]
    assert groups.mean_index(planted, found) == 1.0
    assert np.isnan(groups.mean_index(planted[1:], found[1:]))


class Planted:
    """A model that retains an item in the group of its item index modulo 3."""

    def retention(self, items):
        import tensorflow as tf

        retention = tf.one_hot(items % 3, 3, axis=1)
        return retention * tf.cast(items > 0, tf.float32)[:, None]


def test_a_click_belongs_to_the_group_with_the_highest_retention(monkeypatch):
    monkeypatch.setattr(groups, "SESSIONS_AT_A_TIME", 2)
    sessions = [np.array([1, 2, 3]), np.array([4]), np.array([5, 6])]
    found = groups.strongest_groups(Planted(), sessions)
    assert [row.tolist() for row in found] == [[1, 2, 0], [1], [2, 0]]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Generate a log and train an HLN on a data set of its items."""
    root = tmp_path_factory.mktemp("groups")
    process = ProcessSettings(items=ITEMS, groups=6, group_items=16)
    generate(process, LogSettings(output=str(root / "raw"), sessions=30))
    item_ids = {line.split(",")[2] for line in (root / "raw" / CLICKS).read_text().splitlines()}
    sessions = [[1, 2, 3], [2, 3, 4]] * 3
    splits = {"train": sessions, "validation": sessions, "test": sessions}
    manifest = toy.write_dataset(root / "data", splits, num_items=len(item_ids))
    toy.rename_items(root / "data", manifest, sorted(item_ids))
    arguments = ["--dataset", "sample", "--data_dir", str(root / "data"), "--epochs", "1"]
    small = ["--embedding_dim", "4", "--hidden_dim", "4", "--workdir"]
    assert cli.run(train.main, [*arguments, *small, str(root / "hln")]) == 0
    more = ["--model", "markov", "--workdir", str(root / "markov")]
    assert cli.run(train.main, [*arguments[:4], *more]) == 0
    assert (root / "hln" / VOCABULARY).exists()
    return root


@pytest.mark.slow
def test_the_command_prints_three_indices(run, capsys):
    flags = ["groups", "--raw_dir", str(run / "raw"), "--sessions", "50"]
    assert cli.run(main, [*flags, "--workdir", str(run / "hln")]) == 0
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert list(printed) == ["trained", "shuffled", "untrained"]
    assert all(-1 <= float(index) <= 1 for index in printed.values())


@pytest.mark.parametrize(
    ("workdir", "code", "message"), [("markov", 2, "expected hln"), ("none", 1, "none/config.json")]
)
def test_a_model_without_groups_is_named(run, workdir, code, message, capsys):
    flags = ["groups", "--raw_dir", str(run / "raw"), "--workdir", str(run / workdir)]
    assert cli.run(main, flags) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error
