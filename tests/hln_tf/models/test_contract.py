"""The contract of all models and of options of encoders: scores, counts, exports, answers."""

import functools
import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import reference
import tensorflow as tf
import toy
from contract_cases import (
    CASES,
    MAX_LENGTH,
    NUM_ITEMS,
    SESSIONS,
    SESSIONS_OF_IDS,
    SMALL,
    TRAIN,
    WITH_GROUPS,
    create,
    entry_of,
    padded,
    small_settings,
)
from served import serve, wait_for
from tiers import slow_unless

from hln_tf.common.errors import HlnError
from hln_tf.data.layout import VOCABULARY, Manifest
from hln_tf.models.base import SessionScorer
from hln_tf.models.encoder import SessionEncoder
from hln_tf.recommender import Recommender
from hln_tf.retrieval.settings import ServingSettings
from hln_tf.training.run_config import DataDescription, RunConfig
from hln_tf.training.run_directory import RunDirectory
from hln_tf.training.settings import TrainingSettings


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    toy.write_dataset(directory, {"train": TRAIN}, NUM_ITEMS)
    return directory


@pytest.fixture(scope="module")
def workdirs(data_dir, tmp_path_factory):
    """By model name: a workdir with a saved model, and the model that was saved."""
    result = {}
    for name, (model_name, _) in CASES.items():
        config = RunConfig(
            model=model_name,
            model_settings=small_settings(name),
            training=TrainingSettings(max_length=MAX_LENGTH),
            data=DataDescription.from_manifest(Manifest.read(data_dir), data_dir),
        )
        workdir, model = RunDirectory(tmp_path_factory.mktemp(name)), create(config)
        with workdir.locked():
            workdir.begin(config, data_dir / VOCABULARY)
            workdir.weights_of(model).save()
            workdir.finish({})
        result[name] = workdir, model
    return result


@pytest.fixture(params=CASES)
def name(request):
    return request.param


@pytest.fixture
def workdir(workdirs, name):
    return workdirs[name][0]


@pytest.fixture
def model(workdirs, name):
    return workdirs[name][1]


def test_scores_have_one_finite_column_for_each_item(model):
    assert isinstance(model, SessionScorer)
    scores = model.scores(padded(SESSIONS))
    assert (scores.shape, scores.dtype) == ((len(SESSIONS), NUM_ITEMS), tf.float32)
    assert np.all(np.isfinite(scores))
    assert np.all(np.ptp(scores, axis=1) > 0)


def test_scores_are_what_a_call_returns(model):
    items = padded(SESSIONS)
    np.testing.assert_array_equal(model(items), model.scores(items))


def test_scores_do_not_depend_on_the_batch(model):
    together = model.scores(padded(SESSIONS)).numpy()
    for row, session in enumerate(SESSIONS):
        alone = model.scores(tf.constant([session])).numpy()
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right", "both", "between"])
def test_scores_do_not_depend_on_padding(model, side):
    expected = model.scores(tf.constant([[11, 2, 2, 7]]))
    items = {
        "left": [0, 0, 0, 11, 2, 2, 7],
        "right": [11, 2, 2, 7, 0, 0, 0],
        "both": [0, 11, 2, 2, 7, 0, 0],
        "between": [0, 11, 0, 2, 0, 0, 2, 7, 0],
    }[side]
    np.testing.assert_allclose(model.scores(tf.constant([items])), expected, atol=1e-5)


def test_scores_are_deterministic_at_inference(model):
    items = padded(SESSIONS)
    np.testing.assert_array_equal(model.scores(items), model.scores(items))


def test_scores_in_a_graph_of_any_shape_are_those_outside(model):
    in_graph = tf.function(model.scores, input_signature=[tf.TensorSpec([None, None], tf.int32)])
    for sessions in (SESSIONS, SESSIONS[:1], SESSIONS[3:4]):
        items = padded(sessions)
        np.testing.assert_allclose(in_graph(items), model.scores(items), atol=1e-5)


def test_scores_of_sessions_without_a_click_are_finite(model):
    assert np.all(np.isfinite(model.scores(tf.zeros([2, 3], tf.int32))))


def test_counts_are_the_clicks_of_each_item(model):
    expected = np.bincount(np.concatenate(TRAIN), minlength=NUM_ITEMS + 1)[1:]
    np.testing.assert_array_equal(model.item_counts, expected)


def test_test_step_ranks_the_targets(model):
    items, target = padded(SESSIONS), tf.constant([1, 4, 3, 11, 2])
    model.ranking.reset_states()
    model.test_step({"items": items[:3], "target": target[:3]})
    model.test_step({"items": items[3:], "target": target[3:]})
    ranks = reference.ranks(model.scores(items).numpy(), target.numpy() - 1)
    for k in (5, 10, 20):
        found = model.ranking.results()
        np.testing.assert_allclose(found[f"recall@{k}"], reference.recall_at(ranks, k), rtol=1e-6)
        np.testing.assert_allclose(found[f"mrr@{k}"], reference.mrr_at(ranks, k), rtol=1e-6)


def test_saved_model_scores_as_before(workdir, model):
    loaded = workdir.model()
    items = padded(SESSIONS)
    np.testing.assert_array_equal(loaded.scores(items), model.scores(items))
    np.testing.assert_array_equal(loaded.item_counts, model.item_counts)


def test_damaged_weights_are_an_error(data_dir, workdir, model, tmp_path):
    damaged = RunDirectory(tmp_path / "run")
    with damaged.locked():
        damaged.begin(workdir.config(), data_dir / VOCABULARY)
    with pytest.raises(HlnError, match="holds no trained model yet"):
        damaged.model()
    damaged.weights_of(model).save()
    damaged.finish({})
    np.testing.assert_array_equal(damaged.model().item_counts, model.item_counts)
    (index,) = damaged.weights.glob("*.index")
    content = index.read_bytes()
    index.write_bytes(content[: len(content) // 2])
    with pytest.raises(HlnError, match=f"{damaged.weights}/weights-1 is damaged "):
        damaged.model()


def test_encoders_learn_by_gradients_and_others_have_nothing_to_train(model, name):
    assert isinstance(model, SessionEncoder) == entry_of(name).is_encoder
    if not entry_of(name).is_encoder:
        assert model.trainable_variables == []
        return
    batch = {
        "items": padded(SESSIONS),
        "target": tf.constant([1, 4, 3, 11, 2]),
        "seed": tf.constant([1, 2]),
    }
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    assert np.isfinite(loss)
    for weight, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        assert gradient is not None, weight.name
        values = tf.convert_to_tensor(gradient).numpy()
        assert np.all(np.isfinite(values)), weight.name
        assert np.any(values != 0), weight.name


# Serving


SERVE = """
    import json, sys

    import tensorflow as tf

    answers = {}
    for directory in sys.argv[2:]:
        signatures = tf.saved_model.load(directory).signatures
        answer = signatures["serving_default"](items=tf.constant(json.loads(sys.argv[1])))
        answers[directory] = {
            "signatures": list(signatures),
            "item_ids": [[item.decode() for item in row] for row in answer["item_ids"].numpy()],
            "scores": answer["scores"].numpy().tolist(),
        }
    assert not [name for name in sys.modules if name.startswith("hln_tf")]
    print(json.dumps(answers))
"""


# An export takes seconds: the test command has some of them, and `slow` all.
QUICK = ("hln", "hln and a repeat head", "stamp", "markov")
every_export = pytest.mark.parametrize("name", slow_unless(QUICK, CASES))


@pytest.fixture(scope="module")
def recommenders(workdirs):
    """A function that returns the recommender of a model, by name."""
    settings = ServingSettings(k=5)
    return functools.cache(lambda name: Recommender.load(workdirs[name][0], settings=settings))


@pytest.fixture
def recommender(recommenders, name):
    return recommenders(name)


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """The directory of the exports, each a version of one served model."""
    return tmp_path_factory.mktemp("exports") / "all"


@pytest.fixture(scope="module")
def answers(request, recommenders, exports):
    """By model name, of those that tests ask for: its export's answers elsewhere."""
    tests = [test for test in request.session.items if "answers" in test.fixturenames]
    names = {test.callspec.params["name"] for test in tests if test.module is request.module}
    paths = {
        name: str(recommenders(name).export(exports, run={}, version=version_of(name)))
        for name in names
    }
    width = max(map(len, SESSIONS_OF_IDS))
    items = [session + [""] * (width - len(session)) for session in SESSIONS_OF_IDS]
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SERVE), json.dumps(items), *paths.values()],
        # Away from the repository, with Keras as TensorFlow has it by default.
        cwd=exports,
        env={"TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout)
    return {name: found[path] for name, path in paths.items()}


def version_of(name):
    return list(CASES).index(name) + 1


@pytest.fixture(scope="module")
def server(answers, exports):
    """The embedded server with the exports."""
    process = serve(exports, exports.with_suffix(".log"), "--served_versions", "all", name="all")
    all_loaded = {str(version_of(name)): ("AVAILABLE", "OK") for name in answers}
    wait_for(lambda: process.is_ready() and process.states() == all_loaded, "models")
    yield process
    process.stop()


@pytest.mark.slow
def test_responses_of_the_server_are_those_of_python(recommender, server, name):
    request = {
        "signature_name": "sessions",
        "inputs": [" ".join(session) for session in SESSIONS_OF_IDS],
    }
    status, answer = server.predict(request, where=f"/versions/{version_of(name)}")
    assert status == 200, answer
    recommended = recommender.recommend(SESSIONS_OF_IDS, k=5)
    item_ids = [[item for item, _ in each.items] for each in recommended]
    assert answer["outputs"]["item_ids"] == item_ids
    scores = [[score for _, score in each.items] for each in recommended]
    np.testing.assert_allclose(answer["outputs"]["scores"], scores, atol=1e-5)


@every_export
def test_export_runs_in_a_process_without_this_package(recommender, answers, name):
    for row, recommended in enumerate(recommender.recommend(SESSIONS_OF_IDS, k=5)):
        assert answers[name]["item_ids"][row] == [item for item, _ in recommended.items]
        np.testing.assert_allclose(
            answers[name]["scores"][row], [score for _, score in recommended.items], atol=1e-5
        )


@every_export
def test_models_embed_where_they_encode_and_explain_where_they_have_groups(
    recommender, answers, model, name
):
    expected = {"serving_default", "sessions", "sessions_k"}
    if entry_of(name).is_encoder and not CASES[name][1].get("repeat_head"):
        expected.add("embed")
        scores = (
            recommender.embed([["i3"], ["i2", "i3"]]) @ recommender.graph.item_embeddings.numpy().T
        )
        np.testing.assert_allclose(scores, model.scores(padded([[3], [2, 3]])), atol=1e-4)
    else:
        with pytest.raises(
            HlnError, match=f"{type(model).__name__}.* has no query embeddings, so it"
        ):
            recommender.embed([["i3"]])
    if name in WITH_GROUPS:
        expected.add("explain")
        (explanation,) = recommender.explain([["i2", "i3"]])
        assert explanation.retention.shape == (SMALL["num_groups"], 2)
    else:
        with pytest.raises(
            HlnError, match=f"{type(model).__name__}.* has no preference groups, so"
        ):
            recommender.explain([["i3"]])
    assert {*answers[name]["signatures"]} == expected


def test_recommendations_are_the_items_with_the_highest_scores(recommender, model):
    scores = model.scores(tf.constant([[8, 9, 10, 11]])).numpy()[0]
    best = np.argsort(-scores, kind="stable")
    # Of the eleven clicks the last MAX_LENGTH are used.
    recommended = recommender.recommend(SESSIONS_OF_IDS[4:], k=NUM_ITEMS)[0].items
    np.testing.assert_allclose([score for _, score in recommended], scores[best], atol=1e-5)
    assert {item for item, _ in recommended} == {toy.raw_id(i) for i in range(1, NUM_ITEMS + 1)}
    for item, score in recommended:
        np.testing.assert_allclose(scores[int(item[1:]) - 1], score, atol=1e-5)


def test_unknown_items_are_skipped(recommender):
    with_unknown, without = recommender.recommend([["i2", "new", "i3"], ["i2", "i3"]], k=5)
    assert [item for item, _ in with_unknown.items] == [item for item, _ in without.items]
    np.testing.assert_allclose(
        [score for _, score in with_unknown.items],
        [score for _, score in without.items],
        atol=1e-5,
    )


def test_sessions_without_a_known_item_get_the_most_popular(recommender):
    # Clicks in TRAIN: item 3 has 5, item 2 has 5, item 1 has 2, 4, 5 and 9 have 1.
    for recommended in recommender.recommend([["new", "newer"], []], k=6):
        assert [item for item, _ in recommended.items] == ["i2", "i3", "i1", "i4", "i5", "i9"]
        assert recommended.is_fallback


def test_a_session_of_which_nothing_is_retained_gets_the_most_popular(workdirs, recommenders):
    workdir, _ = workdirs["hln"]
    model = workdir.model()
    model.leap_recurrent_unit.cell.b.assign(1e4)
    (answer,) = Recommender.from_run(workdir, model).recommend([["i8", "i9"]], k=6)
    (popular,) = recommenders("popularity").recommend([["i8", "i9"]], k=6)
    assert answer.is_fallback and not popular.is_fallback
    assert answer.items == popular.items


def test_no_sessions_get_no_recommendations(recommender):
    assert recommender.recommend([], k=5) == []


def test_more_items_than_there_are_give_all_of_them(recommender):
    assert len(recommender.recommend([["i1"]], k=1000)[0].items) == NUM_ITEMS
