"""The command that plots trained runs."""

import csv
import re
import shutil
import struct
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from commands import finish, run, start, tree

import hln_tf

SVG = "{http://www.w3.org/2000/svg}"


def draw(picture, *arguments):
    outcome = run("hln_tf.visualize", picture, *arguments)
    assert outcome.code == 0, outcome.err
    return outcome


def table(stem):
    with open(f"{stem}.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, rows


def texts(stem):
    """The texts in an SVG, in the order of its elements."""
    root = ElementTree.parse(f"{stem}.svg").getroot()
    return ["".join(text.itertext()).strip() for text in root.iter(f"{SVG}text")]


def png_size(stem):
    with open(f"{stem}.png", "rb") as file:
        start = file.read(24)
    assert start.startswith(b"\x89PNG")
    return struct.unpack(">II", start[16:])


@pytest.fixture(scope="module")
def model(trained):
    return hln_tf.load_model(trained.path)


def test_retention_is_the_mean_over_test_sessions(damaged, model, splits):
    outcome = draw("retention", "--workdir", damaged)
    stem = damaged / "pictures" / "retention"
    assert outcome.out.splitlines() == [
        f"wrote {stem}.{ending}" for ending in ("png", "svg", "csv")
    ]
    chosen = [session for session in splits["test"] if len(session) == 6]
    assert len(chosen) == 8
    retention = np.array([model.retention(np.array([session]))[0] for session in chosen])
    expected = retention.mean(axis=0)
    header, rows = table(stem)
    assert header == ["group", "position", "retention_rate", "sessions"]
    assert [(int(row[0]), int(row[1]), int(row[3])) for row in rows] == [
        (group, position, 8) for group in (1, 2) for position in range(1, 7)
    ]
    found = np.array([float(row[2]) for row in rows]).reshape(2, 6)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    written = texts(stem)
    for text in ("Retention rates of hln on sample", "8 test sessions of 6 clicks"):
        assert text in written
    for text in ("position of the click in the session, from the oldest", "preference group"):
        assert text in written
    assert {"group 1", "group 2", "0%", "100%", *"123456"} <= set(written)
    digits = 2 if found.min() > 0.95 else 1
    assert {f"{100 * rate:.{digits}f}" for rate in found.ravel()} <= set(written)
    assert png_size(stem)[0] == 1200


def test_retention_of_another_part_and_length_at_another_place(trained, splits, tmp_path):
    before = tree(trained.path)
    where = ("--workdir", trained.path, "--output", tmp_path / "new" / "other.svg")
    draw("retention", *where, "--length", "3", "--split", "validation", "--stretch")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "other.png",
        "other.svg",
        "other.csv",
    }
    count = sum(len(session) == 3 for session in splits["validation"])
    assert f"{count} validation sessions of 3 clicks" in texts(tmp_path / "new" / "other")
    assert len(table(tmp_path / "new" / "other")[1]) == 2 * 3
    assert tree(trained.path) == before


def test_session_shows_what_explain_returns(trained, tmp_path):
    explained = hln_tf.explain(trained.path, "i3 i6 i9", k=4)
    stem = tmp_path / "session"
    arguments = ("--workdir", trained.path, "--output", stem, "-k", "4")
    outcome = draw("session", *arguments, "--session", "i3 new i6 i9")
    assert "unknown items, skipped: new" in outcome.err
    header, rows = table(stem)
    assert header == ["group", "shows", "place", "item", "value"]
    expected = []
    for group in range(2):
        clicks = zip(explained.clicks, explained.retention[group], strict=True)
        for shows, pairs in (("retention", clicks), ("nearest", explained.groups[group])):
            expected += [
                [str(group + 1), shows, str(place), item, f"{value:.6f}"]
                for place, (item, value) in enumerate(pairs, start=1)
            ]
    assert [row[:4] for row in rows] == [row[:4] for row in expected]
    found, wanted = ([float(row[4]) for row in part] for part in (rows, expected))
    assert found == pytest.approx(wanted, abs=1e-5)
    written = texts(stem)
    assert "Preference groups of one session: hln on sample" in written
    assert {"1: i3", "2: i6", "3: i9", *(item for item, _ in explained.groups[0])} <= set(written)


def test_only_the_clicks_that_the_model_uses_are_plotted(trained, tmp_path):
    arguments = ("--workdir", trained.path, "--output", tmp_path / "session")
    outcome = draw("session", *arguments, "--session", " ".join(["i1", "i2"] * 30))
    assert "the model uses the last clicks only: 10 left out" in outcome.err
    assert sum(row[:2] == ["1", "retention"] for row in table(tmp_path / "session")[1]) == 50


def test_learning_of_a_finished_and_an_unfinished_run(trained, damaged, tmp_path):
    (damaged / "metrics.json").unlink()
    shutil.copytree(trained.path, tmp_path / "other")
    config = (tmp_path / "other" / "config.json").read_text()
    config = config.replace('"learning_rate": 0.01', '"learning_rate": 0.5')
    (tmp_path / "other" / "config.json").write_text(config)
    draw("learning", damaged, tmp_path / "other", "--output", tmp_path / "curves")
    header, rows = table(tmp_path / "curves")
    history = trained.metrics["history"]
    names = {"damaged (learning_rate 0.01)", "other (learning_rate 0.5)"}
    assert {row[0] for row in rows} == names
    for name in names:
        of_run = [dict(zip(header, row, strict=True)) for row in rows if row[0] == name]
        assert [int(row["epoch"]) for row in of_run] == list(range(1, len(history) + 1))
        for column in ("loss", "mrr@20", "recall@5"):
            assert [float(row[column]) for row in of_run] == pytest.approx(
                [entry[column] for entry in history], rel=1e-5
            )
    written = texts(tmp_path / "curves")
    assert {"Learning curves: hln on sample", *names, "MRR@20 (%)", "training loss"} <= set(written)
    assert draw("learning", damaged).out.startswith(f"wrote {damaged}/pictures/learning.png")


def test_embeddings_are_principal_components_of_the_popular_items(trained, model, tmp_path):
    stem = tmp_path / "embeddings"
    draw("embeddings", "--workdir", trained.path, "--output", stem, "--items", "20")
    header, rows = table(stem)
    assert header == ["item", "clicks", "first", "second"] and len(rows) == 20
    counts = model.item_counts.numpy()
    rows_of_items = np.array([int(row[0].removeprefix("i")) - 1 for row in rows])
    assert [int(row[1]) for row in rows] == sorted(counts, reverse=True)[:20]
    assert counts[rows_of_items].tolist() == [int(row[1]) for row in rows]
    embeddings = model.X.numpy()[rows_of_items].astype(float)
    left, sizes, _ = np.linalg.svd(embeddings - embeddings.mean(axis=0), full_matrices=False)
    points = np.array([[float(value) for value in row[2:]] for row in rows])
    np.testing.assert_allclose(np.abs(points), np.abs(left * sizes)[:, :2], atol=1e-4)
    variance = sizes**2 / (sizes**2).sum()
    written = texts(stem)
    assert f"first principal component ({variance[0]:.1%} of the variance)" in written
    assert f"second principal component ({variance[1]:.1%} of the variance)" in written
    assert "the 20 most popular of 30 items" in written


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, ("PICTURE",)),
        (("heatmap",), 2, ("heatmap", "retention")),
        (("retention",), 2, ("--workdir",)),
        (("retention", "--workdir", "none"), 1, ("none/config.json", "python -m hln_tf.train")),
        (("retention", "--workdir", "TRAINED", "--length", "9"), 1, ("test", "9", "2 to 6")),
        (("retention", "--workdir", "TRAINED", "--length", "0"), 2, ("--length is 0", "1 to 50")),
        (("retention", "--workdir", "TRAINED", "--length", "51"), 2, ("--length is 51", "1 to 50")),
        (("retention", "--workdir", "TRAINED", "--data_dir", "none"), 1, ("no data set in none",)),
        (("retention", "--workdir", "POPULAR"), 1, ("Popularity has no preference groups",)),
        (("retention", "--workdir", "BEGUN"), 1, ("holds no trained model yet",)),
        (("session", "--workdir", "TRAINED"), 2, ("--session",)),
        (("session", "--workdir", "TRAINED", "--session", "x y"), 1, ("'x y'", "no item")),
        (("session", "--workdir", "TRAINED", "--session", " "), 1, ("--session is ' '", "no item")),
        (("session", "--workdir", "TRAINED", "--session", "\udcff"), 2, ("--session", "UTF-8")),
        (("session", "--workdir", "TRAINED", "--session", "i1", "-k", "0"), 2, ("-k is 0",)),
        (("session", "--workdir", "POPULAR", "--session", "i1"), 1, ("no preference groups",)),
        (("session", "--workdir", "BEGUN", "--session", "i1"), 1, ("no trained model yet",)),
        (("learning",), 2, ("RUN",)),
        (("learning", "TRAINED", "--output", "."), 2, ("--output is '.'", "ends in a name")),
        (("learning", "none"), 1, ("none/config.json",)),
        (("learning", "TRAINED", "POPULAR"), 1, ("popular", "no learning curve")),
        (("learning", "BEGUN"), 1, ("no learning curve", "not finished the first one")),
        (("embeddings", "--workdir", "POPULAR"), 1, ("Popularity has no item embeddings",)),
        (("embeddings", "--workdir", "BEGUN"), 1, ("no trained model yet",)),
        (("embeddings", "--workdir", "TRAINED", "--items", "2"), 2, ("--items is 2", "3")),
    ],
)
def test_bad_input(trained, popular, tmp_path, monkeypatch, arguments, code, words):
    begun = tmp_path / "begun"
    begun.mkdir()
    for name in ("config.json", "vocabulary.txt"):
        shutil.copy(trained.path / name, begun)
    before = tree(tmp_path)
    monkeypatch.chdir(tmp_path)
    places = {"TRAINED": trained.path, "POPULAR": popular.path, "BEGUN": begun}
    output = () if len(arguments) < 2 or "--output" in arguments else ("--output", "picture")
    outcome = run("hln_tf.visualize", *(places.get(each, each) for each in arguments), *output)
    sentence = outcome.sentence(code)
    assert all(word in sentence for word in words), sentence
    assert tree(tmp_path) == before


def test_the_data_set_of_another_catalogue_is_refused(trained, tmp_path):
    from toy import write_dataset

    write_dataset(tmp_path, {"test": [[1, 2]]}, num_items=2)
    sentence = run(
        "hln_tf.visualize", "retention", "--workdir", trained.path, "--data_dir", tmp_path
    )
    assert "has other items" in sentence.sentence()


def test_a_missing_matplotlib_is_named_with_its_extra(trained, tmp_path):
    script = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from hln_tf import visualize\nfrom hln_tf.common import cli\n"
        "sys.exit(cli.run(visualize.main))"
    )
    outcome = finish(start(script, "learning", trained.path, "--output", tmp_path / "curves"))
    sentence = outcome.sentence()
    assert "matplotlib" in sentence and "pip install 'hln-tf[plots]'" in sentence
    assert not list(tmp_path.iterdir())


def test_help_needs_neither_tensorflow_nor_matplotlib():
    script = (
        "import sys\nfrom hln_tf import visualize\nfrom hln_tf.common import cli\n"
        "try: visualize.main(['session', '--help'])\n"
        "finally: print({'tensorflow', 'matplotlib'} & set(sys.modules))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert finished.stdout.endswith("set()\n") and finished.returncode == 0
    assert re.search(r"--session SESSION +item ids", finished.stdout)
