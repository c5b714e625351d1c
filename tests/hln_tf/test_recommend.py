import json

import numpy as np
import pytest
from commands import run
from toy import write_dataset


@pytest.fixture(scope="module")
def recommend(trained):
    def call(*arguments):
        return run("hln_tf.recommend", "--workdir", trained.path, *arguments)

    return call


def table(outcome):
    """The lines of a recommendation as (rank, item id, score)."""
    rows = [line.split() for line in outcome.out.splitlines()]
    return [(int(rank), item, float(score)) for rank, item, score in rows]


@pytest.fixture(scope="module")
def most_popular(popular):
    """All items in order of popularity."""
    outcome = run("hln_tf.recommend", "--workdir", popular.path, "--session", "i1", "-k", "30")
    return [item for _, item, _ in table(outcome)]


def from_file(recommend, tmp_path, content, *more):
    (tmp_path / "sessions.txt").write_bytes(content)
    output = tmp_path / "out.jsonl"
    outcome = recommend("--input", tmp_path / "sessions.txt", "--output", output, *more)
    assert outcome.code == 0, outcome.err
    return outcome, [json.loads(line) for line in output.read_text("utf-8").splitlines()]


def test_item_ids_in_item_ids_and_scores_out(recommend):
    outcome = recommend("--session", "i3 i6", "-k", "5")
    assert outcome.code == 0
    rows = table(outcome)
    assert [rank for rank, _, _ in rows] == [1, 2, 3, 4, 5]
    assert all(item in {f"i{index}" for index in range(1, 31)} for _, item, _ in rows)
    scores = [score for _, _, score in rows]
    assert scores == sorted(scores, reverse=True)
    assert outcome.err == ""


@pytest.mark.parametrize("k, found", [((), 20), (("-k", "1"), 1), (("-k", "1000000000000"), 30)])
def test_k_items_or_all_there_are(recommend, k, found):
    rows = table(recommend("--session", "i3 i6", *k))
    assert len(rows) == found
    assert len({item for _, item, _ in rows}) == found


def test_unknown_items_are_named_and_skipped(recommend):
    outcome = recommend("--session", "new i3 i6 other", "-k", "7")
    assert outcome.err == "unknown items, skipped: new, other\n"
    assert outcome.out == recommend("--session", "i3 i6", "-k", "7").out


@pytest.mark.parametrize("session", ["new other", "", "  "])
def test_session_without_known_items_gets_the_most_popular(recommend, most_popular, session):
    outcome = recommend("--session", session, "-k", "6")
    assert outcome.code == 0
    assert outcome.err.splitlines()[-1] == (
        "the session has no known item; these are the most popular"
    )
    assert [item for _, item, _ in table(outcome)] == most_popular[:6]


def test_sessions_of_a_file_get_the_same_items_as_alone(recommend, tmp_path):
    random = np.random.default_rng(1)
    lengths = random.integers(1, 9, 700)
    sessions = [[f"i{item}" for item in random.integers(1, 31, length)] for length in lengths]
    content = "".join(" ".join(session) + "\n" for session in sessions)
    outcome, results = from_file(recommend, tmp_path, content.encode(), "-k", "30")
    assert outcome.out == ""
    assert f"wrote {tmp_path / 'out.jsonl'}: 700 sessions, 0 of them" in outcome.err
    assert [result["session"] for result in results] == sessions
    for index in (0, 511, 512, 699):
        alone = table(recommend("--session", " ".join(sessions[index]), "-k", "30"))
        together = {entry["item"]: entry["score"] for entry in results[index]["items"]}
        assert len(together) == 30
        # The table shows four digits.
        assert together == pytest.approx({item: score for _, item, score in alone}, abs=6e-5)


def test_scores_do_not_depend_on_the_batch(trained):
    from hln_tf import Recommender
    from hln_tf.training.run_directory import RunDirectory

    recommender = Recommender.load(RunDirectory(trained.path))
    sessions = [["i3"], ["i3", "i6", "i9", "x", "i12", "i15"], [], ["i7", "i10"]]
    together = recommender.recommend(sessions, 30)
    for session, result in zip(sessions, together, strict=True):
        (alone,) = recommender.recommend([session], 30)
        assert dict(result.items) == pytest.approx(dict(alone.items), abs=1e-5)
        assert result.is_fallback == alone.is_fallback


def test_empty_lines_and_windows_line_ends(recommend, most_popular, tmp_path):
    content = b"i3 i6\r\n\r\n\ni3  i6\nnew\ni3 i6"
    outcome, results = from_file(recommend, tmp_path, content, "-k", "4")
    assert [result["session"] for result in results] == [
        ["i3", "i6"],
        [],
        [],
        ["i3", "i6"],
        ["new"],
        ["i3", "i6"],
    ]
    assert [result["is_fallback"] for result in results] == [False, True, True, False, True, False]
    assert [result["unknown"] for result in results] == [[], [], [], [], ["new"], []]
    assert [entry["item"] for entry in results[1]["items"]] == most_popular[:4]
    assert "6 sessions, 3 of them got the most popular items" in outcome.err


def test_no_lines_give_an_empty_file(recommend, tmp_path):
    _, results = from_file(recommend, tmp_path, b"")
    assert results == []


def test_the_file_is_written_atomically(recommend, tmp_path):
    sessions, output = tmp_path / "sessions.txt", tmp_path / "out.jsonl"
    sessions.write_bytes(b"i3 i6\n" * 600 + b"i3 \xff\n")
    arguments = ("--input", sessions, "--output", output)
    assert f"{sessions}, line 601 is not valid UTF-8" in recommend(*arguments).sentence()
    assert {entry.name for entry in tmp_path.iterdir()} == {"sessions.txt"}
    output.write_text("older")
    assert recommend(*arguments).code == 1
    assert output.read_text() == "older"
    assert {entry.name for entry in tmp_path.iterdir()} == {"sessions.txt", "out.jsonl"}


def test_other_separator(tmp_path, splits):
    write_dataset(tmp_path / "data", splits, 30, separator="\t")
    where = ("--dataset", "sample", "--data_dir", tmp_path / "data", "--model", "popularity")
    outcome = run("hln_tf.train", *where, "--workdir", tmp_path / "run", "--separator", "\\t")
    assert outcome.code == 0, outcome.err
    call = ("hln_tf.recommend", "--workdir", tmp_path / "run")
    assert run(*call, "--session", "i3\ti6").err == ""
    assert "unknown items, skipped: i3 i6" in run(*call, "--session", "i3 i6").err
    refused = run("hln_tf.train", *where, "--workdir", tmp_path / "other", "--separator", ",")
    sentence = refused.sentence(2)
    assert "--separator is ','" in sentence and "'\\t'" in sentence


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        ([], 2, ("--session", "--input")),
        (["--session", "i1", "--input", "x"], 2, ("--input", "--session")),
        (["--session", "i1", "-k", "0"], 2, ("-k is 0", "at least 1")),
        (["--session", "i1", "-k", "x"], 2, ("-k", "'x'")),
        (["--session", "i1", "--output", "x"], 2, ("--input", "--output")),
        (["--input", "none.txt"], 2, ("--input", "--output")),
        (["--session", "i1 \udcff"], 2, ("--session", "UTF-8")),
        (["--input", "none.txt", "--output", "x"], 1, ("none.txt", "one session")),
        (["--input", ".", "--output", "x"], 1, ("--input .", "one session")),
    ],
)
def test_bad_arguments(recommend, arguments, code, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sentence = recommend(*arguments).sentence(code)
    assert all(word in sentence for word in words), sentence
    assert not list(tmp_path.iterdir())
