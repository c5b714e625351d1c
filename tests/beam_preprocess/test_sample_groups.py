"""The comparison of a model's preference groups with the planted ones."""

import pytest
import toy

from beam_preprocess.sample.__main__ import main
from beam_preprocess.sample.generator import CLICKS, LogSettings, generate
from beam_preprocess.sample.process import ProcessSettings
from hln_tf import train
from hln_tf.common import cli
from hln_tf.data.layout import VOCABULARY

ITEMS = 40


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


@pytest.mark.slow
def test_a_session_is_drawn_with_its_known_and_found_groups(run, tmp_path, capsys):
    flags = ["groups", "--raw_dir", str(run / "raw"), "--workdir", str(run / "hln")]
    picture = tmp_path / "groups"
    assert cli.run(main, [*flags, "--sessions", "200", "--picture", str(picture)]) == 0
    assert f"wrote {picture}.svg" in capsys.readouterr().out
    drawn = (tmp_path / "groups.svg").read_text()
    for text in ("known group", "found group", "Preference groups of one session: hln on sample"):
        assert text in drawn
    assert cli.run(main, [*flags, "--sessions", "1", "--picture", str(picture)]) == 2
    assert "--sessions is 1, among which there is none" in capsys.readouterr().err


@pytest.mark.slow
def test_interleaved_pairs_are_compared_with_simpler_groupings(run, capsys):
    flags = ["groups", "--data_dir", str(run / "data"), "--workdir", str(run / "hln")]
    assert cli.run(main, flags) == 0
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    indices = ["trained", "shuffled", "untrained", "halves", "2-means"]
    assert list(printed) == [*indices, "recall@20", "mrr@20"]
    assert all(-1 <= float(value) <= 1 for value in printed.values())


@pytest.mark.parametrize(
    ("workdir", "code", "message"), [("markov", 2, "expected hln"), ("none", 1, "none/config.json")]
)
def test_a_model_without_groups_is_named(run, workdir, code, message, capsys):
    flags = ["groups", "--raw_dir", str(run / "raw"), "--workdir", str(run / workdir)]
    assert cli.run(main, flags) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error
