import numpy as np
import pytest
import tensorflow as tf
from toy import raw_id, write_dataset

from hln_tf import cli, train
from serving.export import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("serving")
    sessions = [[1, 2, 3], [2, 3, 4], [3, 4, 1]]
    write_dataset(
        root / "data", {"train": sessions, "validation": sessions, "test": sessions}, num_items=4
    )
    arguments = ["--dataset", "sample", "--data_dir", str(root / "data"), "--model", "markov"]
    assert cli.run(train.main, [*arguments, "--workdir", str(root / "run")]) == 0
    return root / "run"


def test_exports_versions_that_serve_the_last_transition(run, tmp_path, capsys):
    models = tmp_path / "models" / "markov"
    for extra in ([], ["--version", "7", "-k", "2"], []):
        assert cli.run(main, ["--workdir", str(run), "--output", str(models), *extra]) == 0
    assert capsys.readouterr().out.split() == [str(models / v) for v in ("1", "7", "8")]
    serve = tf.saved_model.load(str(models / "7")).signatures["serving_default"]
    answer = serve(items=tf.constant([[raw_id(1), raw_id(2)], [raw_id(4), ""]]))
    assert [row[0].decode() for row in answer["item_ids"].numpy()] == [raw_id(3), raw_id(1)]
    assert answer["scores"].shape == (2, 2)
    assert np.all(np.diff(answer["scores"].numpy()) <= 0)


def test_an_existing_version_stays_as_it_is(run, tmp_path, capsys):
    arguments = ["--workdir", str(run), "--output", str(tmp_path), "--version", "1"]
    assert cli.run(main, arguments) == 0
    assert cli.run(main, arguments) == 1
    assert "is there already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--workdir", "nowhere", "--output", "models"], 1, "nowhere/config.json"),
        (["--workdir", "nowhere", "--output", "models", "-k", "0"], 2, "-k is 0"),
        (["--workdir", "nowhere"], 2, "--output"),
    ],
)
def test_bad_input(flags, code, said, capsys):
    assert cli.run(main, flags) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and error.count("\n") == 1
