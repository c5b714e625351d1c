import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from toy import raw_id

from hln_tf.common import cli
from serving.export import main


def test_exports_versions_that_serve_the_last_transition(workdir, tmp_path, capsys):
    models = tmp_path / "models" / "markov"
    for extra in ([], ["--version", "7", "-k", "2"], []):
        assert cli.run(main, ["--workdir", str(workdir), "--output", str(models), *extra]) == 0
    assert capsys.readouterr().out.split() == [str(models / v) for v in ("1", "7", "8")]
    serve = tf.saved_model.load(str(models / "7")).signatures["serving_default"]
    answer = serve(items=tf.constant([[raw_id(1), raw_id(2)], [raw_id(4), ""]]))
    assert [row[0].decode() for row in answer["item_ids"].numpy()] == [raw_id(3), raw_id(1)]
    assert answer["scores"].shape == (2, 2)
    assert np.all(np.diff(answer["scores"].numpy()) <= 0)


def test_an_existing_version_is_not_overwritten(workdir, tmp_path, capsys):
    arguments = ["--workdir", str(workdir), "--output", str(tmp_path), "--version", "1"]
    assert cli.run(main, arguments) == 0
    assert cli.run(main, arguments) == 1
    assert "exists already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def served_ids(path, session):
    serve = tf.saved_model.load(str(path)).signatures["sessions"]
    (ids,) = serve(sessions=tf.constant([session]))["item_ids"].numpy()
    return [item.decode() for item in ids]


@pytest.mark.slow
def test_only_the_candidates_of_the_lists_are_recommended(workdir, tmp_path, capsys):
    (tmp_path / "stock.txt").write_bytes(b"\xef\xbb\xbfi1\r\ngone\r\n\r\ni3\r\ni4\r\n")
    (tmp_path / "banned.txt").write_text("i3")
    export = ["--workdir", str(workdir), "--output", str(tmp_path / "models")]
    allow = ["--allow_items", str(tmp_path / "stock.txt")]
    deny = ["--deny_items", str(tmp_path / "banned.txt")]
    for flags in (allow, deny, [*allow, *deny]):
        assert cli.run(main, [*export, *flags]) == 0
    message = f"{tmp_path / 'stock.txt'}: the model does not know 1 of 4 ids"
    assert capsys.readouterr().err.count(f"{message}, the first is 'gone' in line 2\n") == 2
    found = [served_ids(tmp_path / "models" / version, "i1 i2") for version in "123"]
    assert [set(ids) for ids in found] == [{"i1", "i3", "i4"}, {"i1", "i2", "i4"}, {"i1", "i4"}]
    assert found[0][0] == "i3"
    card = json.loads((tmp_path / "models/3/assets.extra/model_card.json").read_text())
    assert card["serving"]["candidates"] == 2 and card["counts"]["items"] == 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("leave no item to recommend", "one item id on each line")),
        (b"x\ny\n", ("does not know 2 of 2 ids", "'x' in line 1")),
        (b"i1\n\xff\n", ("line 2 is not valid UTF-8",)),
        (None, ("cannot be read", "No such file")),
    ],
)
def test_lists_without_a_usable_item_are_an_error(workdir, tmp_path, capsys, content, words):
    path = tmp_path / "items.txt"
    if content is not None:
        path.write_bytes(content)
    arguments = ["--workdir", str(workdir), "--output", str(tmp_path / "models")]
    assert cli.run(main, [*arguments, "--allow_items", str(path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and str(path) in error and error.count("\n") == 1
    assert all(word in error for word in words), error
    assert not (tmp_path / "models").exists()


def test_an_unfinished_run_is_not_exported(workdir, tmp_path, capsys):
    shutil.copytree(workdir, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    arguments = ["--workdir", str(tmp_path / "run"), "--output", str(tmp_path / "models")]
    assert cli.run(main, arguments) == 1
    assert "is not finished" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--workdir", "nowhere", "--output", "models"], 1, "nowhere/config.json"),
        (["--workdir", "nowhere", "--output", "models", "-k", "0"], 2, "-k is 0"),
        (["--workdir", "nowhere", "--output", "models", "--k_max", "0"], 2, "--k_max is 0"),
        (["--workdir", "nowhere", "--output", "models", "--version", "0"], 2, "--version is 0"),
        (["--workdir", "nowhere", "--output", "models", "--version", f"{2**63}"], 2, "--version"),
        (["--workdir", "nowhere", "--output", "models", "--index", "x"], 2, "exact"),
        (["--workdir", "nowhere"], 2, "--output"),
    ],
)
def test_bad_input(flags, code, message, capsys):
    assert cli.run(main, flags) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
