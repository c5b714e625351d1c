"""`Recommender`: from a table of clicks to recommendations, and on from there."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from commands import run, tree
from visits import COLUMNS, DAY, FAST, HOUR, SIZES, fit, table, walks

import hln_tf
from hln_tf import Recommender, SessionDataset
from hln_tf.common.errors import HlnError, UsageError


@pytest.fixture(scope="module")
def clicks():
    return table(walks(90))


@pytest.fixture(scope="module")
def fitted(clicks, tmp_path_factory):
    """A recommender with a test part, its run directory and what its training printed."""
    workdir = tmp_path_factory.mktemp("runs") / "run"
    recommender, err = fit(clicks, **FAST, test_seconds=DAY, workdir=workdir)
    return recommender, workdir, err


@pytest.fixture
def recommender(fitted):
    return fitted[0]


def results(metrics):
    """Return the results without times."""
    history = [
        {name: value for name, value in epoch.items() if "second" not in name}
        for epoch in metrics["history"]
    ]
    return {"history": history, **{name: metrics[name] for name in ("validation", "test")}}


def test_a_frame_becomes_recommendations(recommender):
    known, unknown = recommender.recommend([["a", "b"], ["zz"]], k=3)
    assert [item for item, _ in known.items] != [item for item, _ in unknown.items]
    assert (known.is_fallback, unknown.is_fallback) == (False, True)
    assert len(known.items) == len(unknown.items) == 3
    (alone,) = recommender.recommend("a b", k=3)
    assert [item for item, _ in alone.items] == [item for item, _ in known.items]
    scores = [[score for _, score in each.items] for each in (alone, known)]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5)
    assert recommender.known == {*"abcdefghij"}
    (seen,) = recommender.recommend([["a", "b"]], 10, exclude_seen=True)
    assert {item for item, _ in seen.items} == {*"cdefghij"}


def test_the_training_tells_which_epoch_was_chosen_and_what_it_trained_on(fitted):
    recommender, _, err = fitted
    metrics = recommender.metrics
    assert metrics["trained_on"] == "train+validation"
    assert len(metrics["history"]) == 2
    line = f"validation chose epoch {metrics['best_epoch']} of 2; the model is trained on "
    assert f"{line}train+validation\n" in err
    assert {"recall@20", "mrr@20"} <= metrics["test"].keys() & metrics["validation"].keys()


def test_a_finished_run_is_opened_and_not_trained_again(fitted, clicks):
    recommender, workdir, _ = fitted
    before = tree(workdir)
    again, _ = fit(clicks, **FAST, test_seconds=DAY, workdir=str(workdir))
    assert tree(workdir) == before
    assert again.recommend([["a", "b"]]) == recommender.recommend([["a", "b"]])
    with pytest.raises(HlnError, match=r"holds a run with training.epochs = 2, not 1: choose"):
        fit(clicks, **{**FAST, "epochs": 1}, test_seconds=DAY, workdir=workdir)
    with pytest.raises(HlnError, match=r"a table of clicks .* choose another `workdir`") as caught:
        fit(clicks.iloc[2:], **FAST, test_seconds=DAY, workdir=workdir)
    assert "--" not in str(caught.value)
    with pytest.raises(HlnError, match="is not empty and holds no run: choose another `workdir`"):
        fit(clicks, **FAST, workdir=workdir / "model")


@pytest.mark.slow
def test_an_interrupted_training_resumes(clicks, tmp_path, monkeypatch, recommender):
    from hln_tf.training.run import Run

    def stop(*arguments):
        raise KeyboardInterrupt

    workdir = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(Run, "refit", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(clicks, **FAST, test_seconds=DAY, workdir=workdir)
    with pytest.raises(HlnError, match="holds no trained model yet"):
        hln_tf.load(workdir)
    resumed, _ = fit(clicks, **FAST, test_seconds=DAY, workdir=workdir)
    assert results(resumed.metrics) == results(recommender.metrics)


def test_a_temporary_run_is_removed_with_its_recommender(clicks):
    counted, _ = fit(clicks, model="popularity")
    path = counted.run.path
    assert path.is_dir()
    assert "test" not in counted.metrics
    del counted
    assert not path.exists()


@pytest.mark.parametrize("model", ["sknn", "popularity"])
def test_counting_models_are_fitted_too(clicks, model):
    recommender, err = fit(clicks, model=model, test_seconds=DAY)
    assert "epoch" not in err
    assert recommender.metrics["test"]["recall@20"] > 0
    (found,) = recommender.recommend([["a", "b"]], 3)
    assert len(found.items) == 3
    with pytest.raises(HlnError, match=f"{model} has no weights to start from"):
        recommender.update(clicks, **COLUMNS)
    with pytest.raises(HlnError, match="has no item embeddings"):
        recommender.similar_items("a")


def test_it_shows_what_it_is(recommender, clicks):
    assert repr(recommender) == "Recommender(hln, 10 items, trained on 66 sessions)"
    data = SessionDataset.from_clicks(clicks, **COLUMNS, test_seconds=DAY)
    assert repr(data) == (
        "SessionDataset('custom', 10 items, 60 train, 6 validation, 24 test sessions)"
    )


@pytest.mark.parametrize("wrong", [["a", "b"], None, {"a": 1}, 5, [["a", None]]])
def test_what_is_no_session_is_refused_everywhere(recommender, wrong):
    for call in (
        recommender.recommend,
        recommender.explain,
        recommender.embed,
        recommender.evaluate,
    ):
        with pytest.raises(UsageError, match=r"expected|write"):
            call(wrong)


def hand_metrics(recommender, sessions, ks):
    """Compute Recall and MRR by the model's scores, prefix by prefix."""
    ids = recommender.run.vocabulary()
    popular = recommender.model.item_counts.numpy()
    ranks = []
    for session in sessions:
        for end in range(1, len(session)):
            prefix = [ids.index(item) + 1 for item in session[:end] if item in ids]
            if session[end] not in ids:
                ranks.append(np.inf)
                continue
            target = ids.index(session[end])
            if prefix:
                scores = recommender.model.scores(tf.constant([prefix[-50:]])).numpy()[0]
            else:
                scores = popular
            order = np.argsort(-scores, kind="stable")
            ranks.append(1 + order.tolist().index(target))
    ranks = np.array(ranks)
    hits = {k: ranks <= k for k in ks}
    return {f"recall@{k}": hits[k].mean() for k in ks} | {
        f"mrr@{k}": np.where(hits[k], 1 / ranks, 0).mean() for k in ks
    }


SESSIONS = [["a", "new", "b", "c"], ["other", "d", "new"], ["e"], ["f", "g"], [], ["x", "y", "b"]]


@pytest.mark.parametrize("k", [(1, 3), [2], 5, np.int64(4)])
def test_evaluation_agrees_with_the_scores_and_unknown_items_are_misses(recommender, k):
    found = recommender.evaluate(SESSIONS, k)
    counts = {"sessions": 6, "examples": 8, "unknown_clicks": 5, "unknown_targets": 3}
    assert {name: found.pop(name) for name in counts} == counts
    assert found == pytest.approx(hand_metrics(recommender, SESSIONS, np.atleast_1d(k)))


def test_a_table_is_evaluated_by_its_sessions(recommender):
    shuffled = table(SESSIONS).sample(frac=1, random_state=2)
    sessions = [session for session in SESSIONS if session]
    expected = recommender.evaluate(sessions)
    assert recommender.evaluate(shuffled, **COLUMNS) == pytest.approx(expected)
    named = shuffled.rename(columns={"visit": "visitor"}).assign(visitor="u")
    found = recommender.evaluate(
        named, user="visitor", item="sku", time="at", session_timeout=HOUR // 2
    )
    assert found == pytest.approx(expected)
    with pytest.raises(UsageError, match="`session_timeout` is 0"):
        recommender.evaluate(named, user="visitor", item="sku", time="at")
    with pytest.raises(TypeError, match=r"item=\.\.\., time=\.\.\."):
        recommender.evaluate(shuffled)


def test_the_test_part_has_the_metrics_of_the_run(recommender, clicks):
    data = SessionDataset.from_clicks(clicks, **COLUMNS, test_seconds=DAY)
    test = data.split("test")
    ids = np.array(["", *data.item_ids])
    sessions = [ids[each].tolist() for each in np.split(test.items, test.offsets[1:-1])]
    found = recommender.evaluate(sessions)
    expected = recommender.metrics["test"]
    assert found["examples"] == expected["prefixes"]
    assert found["unknown_clicks"] == 0
    names = [name for name in expected if "@" in name]
    assert {name: found[name] for name in names} == pytest.approx(
        {name: expected[name] for name in names}
    )


@pytest.mark.parametrize("nothing", [[], [["a"], []], "a"])
def test_nothing_to_predict_is_reported(recommender, nothing):
    with pytest.raises(HlnError, match="no session has two or more clicks: there is nothing to"):
        recommender.evaluate(nothing)


def test_no_cut_off_is_refused(recommender):
    for nothing in ([], (), np.array([])):
        with pytest.raises(UsageError, match=r"`k` is .*, expected at least one cut-off, such as"):
            recommender.evaluate([["a", "b"]], nothing)


@pytest.mark.parametrize("wrong", [0, "5", (5, 0), (1.5,), None])
def test_cut_offs_are_whole_numbers(recommender, wrong):
    with pytest.raises(UsageError, match=r"`k` is .*, expected a whole number of at least 1"):
        recommender.evaluate([["a", "b"]], wrong)


def test_what_was_saved_recommends_the_same(recommender, fitted, tmp_path):
    copy = hln_tf.load(fitted[1])
    copy.save(tmp_path / "saved")
    assert copy.run.path == tmp_path / "saved"
    (tmp_path / "empty").mkdir()
    copy.save(str(tmp_path / "empty"))
    for path in (tmp_path / "saved", tmp_path / "empty"):
        loaded = hln_tf.load(path)
        assert loaded.recommend(SESSIONS, 5) == recommender.recommend(SESSIONS, 5)
        assert loaded.metrics == recommender.metrics
    before = tree(tmp_path / "saved")
    with pytest.raises(HlnError, match="exists already: choose another directory"):
        recommender.save(tmp_path / "saved")
    assert tree(tmp_path / "saved") == before
    shutil.rmtree(tmp_path / "saved")
    with pytest.raises(HlnError, match="saved"):
        hln_tf.load(tmp_path / "saved")


def test_a_run_of_the_command_is_loaded(trained):
    loaded = hln_tf.load(trained.path)
    line = run("hln_tf.recommend", "--workdir", trained.path, "--session", "i3 i6", "-k", "4")
    (found,) = loaded.recommend("i3 i6", 4)
    assert [row.split()[1] for row in line.out.splitlines()] == [item for item, _ in found.items]
    assert loaded.metrics == json.loads((trained.path / "metrics.json").read_text())


def test_a_recommender_of_a_model_alone_has_no_run(recommender, clicks, tmp_path):
    alone = Recommender(recommender.model, recommender.run.vocabulary(), 50, " ")
    assert alone.metrics == {}
    assert alone.recommend([["a"]], 3) == recommender.recommend([["a"]], 3)
    for call in (lambda: alone.save(tmp_path / "x"), lambda: alone.update(clicks, **COLUMNS)):
        with pytest.raises(HlnError, match="this recommender was made from a model"):
            call()


@pytest.mark.slow
def test_an_export_answers_the_same(recommender, tmp_path):
    version = recommender.export(tmp_path / "models")
    assert version == tmp_path / "models" / "1"
    assert recommender.export(tmp_path / "models").name == "2"
    loaded = tf.saved_model.load(str(version))
    items = tf.constant([["a", "b"], ["zz", ""]])
    found = loaded.signatures["serving_default"](items=items)
    expected = recommender.recommend([["a", "b"], ["zz"]], k=10)
    for ids, scores, each in zip(found["item_ids"], found["scores"], expected, strict=True):
        listed = [item.decode() for item in ids.numpy()[: len(each.items)]]
        assert listed == [item for item, _ in each.items]
        np.testing.assert_allclose(
            scores[: len(each.items)], [score for _, score in each.items], rtol=1e-5
        )
    with pytest.raises(HlnError, match="1"):
        recommender.export(tmp_path / "models", version=1)


@pytest.mark.slow
def test_an_update_starts_from_the_present_weights(fitted, tmp_path):
    recommender, workdir, _ = fitted
    files, before = tree(workdir), recommender.recommend(SESSIONS, 10)
    new = table(walks(60, "fghijklmno", seed=3), first=100)
    tiny = {"learning_rate": 1e-12, "epochs": 1, "refit": False}
    updated = recommender.update(new, **COLUMNS, **tiny, workdir=tmp_path / "run")
    assert tree(workdir) == files
    assert recommender.recommend(SESSIONS, 10) == before
    assert updated.known == {*"abcdefghijklmno"}
    assert updated.run.vocabulary()[:10] == recommender.run.vocabulary()
    old, now = (each.model.item_embeddings().numpy() for each in (recommender, updated))
    np.testing.assert_allclose(now[:10], old, atol=1e-5)
    assert np.abs(now[10:, None] - old[None]).max(axis=2).min() > 1e-4
    same = updated.recommend([["a", "b"]], 10, allow=recommender.known)
    assert same == recommender.recommend([["a", "b"]], 10, allow=recommender.known)
    again = hln_tf.load(tmp_path / "run").update(new, **COLUMNS, epochs=1)
    assert again.known == updated.known
    assert again.metrics["trained_on"] == "train+validation"


def test_an_update_keeps_the_model(recommender, clicks):
    with pytest.raises(UsageError, match="`hidden_dim` is 9, expected 8, as in the present model"):
        recommender.update(clicks, **COLUMNS, hidden_dim=9)
    with pytest.raises(TypeError, match="no setting 'epoch'"):
        recommender.update(clicks, **COLUMNS, epoch=1)


def raw_log(path, visits):
    """Write visits as a log of Yoochoose, and return its frame."""
    frame = table(visits, apart=2 * HOUR)
    frame["sku"] = [214_000_000 + ord(item) for item in frame["sku"]]
    frame["visit"] = frame["visit"].str.removeprefix("v").astype(int)
    frame["at"] = pd.to_datetime(frame["at"], unit="s").dt.strftime("2014-04-%dT%H:%M:%S.000Z")
    frame.assign(category=0)[["visit", "at", "sku", "category"]].to_csv(
        path, header=False, index=False
    )
    return frame


@pytest.mark.slow
@pytest.mark.parametrize("model", ["hln", "sknn"])
def test_a_frame_gives_the_metrics_of_the_command(tmp_path, model):
    frame = raw_log(tmp_path / "clicks.dat", walks(100, seed=5))
    settings = {"batch_size": 16, "learning_rate": 0.01, "epochs": 2, **SIZES}
    if model == "sknn":
        settings = {}
    flags = [part for name, value in settings.items() for part in (f"--{name}", value)]
    arguments = ("--dataset", "sample", "--data_dir", tmp_path / "data", "--model", model, *flags)
    log = ("--input", tmp_path / "clicks.dat")
    for refit, more in ((False, log), (True, ("--refit",))):
        workdir = tmp_path / str(refit)
        outcome = run("hln_tf.train", *arguments, *more, "--workdir", workdir)
        assert outcome.code == 0, outcome.err
        expected = json.loads((workdir / "metrics.json").read_text())
        recommender, _ = fit(
            frame, model=model, refit=refit, order="file", test_seconds=DAY, **settings
        )
        found = recommender.metrics
        for metrics in (expected, found):
            for name in ("timing", "dataset", "clicks_left"):
                metrics.pop(name, None)
            for epoch in (*metrics.get("history", ()), *metrics.get("refit_history", ())):
                for name in [name for name in epoch if "second" in name]:
                    del epoch[name]
        assert found == expected
        commanded = hln_tf.load(workdir)
        assert recommender.run.vocabulary() == commanded.run.vocabulary()
        assert recommender.recommend([[214_000_097]]) == commanded.recommend([[214_000_097]])
