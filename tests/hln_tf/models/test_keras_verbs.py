"""The contract of all registered models as Keras models: construct, fit, evaluate, predict, save.

The test command runs it for HLN, another encoder and a model that counts; `slow` runs it for all.
"""

import dataclasses
import inspect
import json
import pydoc
from typing import NamedTuple

import events
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from commands import finish, start
from reference import log_softmax, mrr_at, ranks, recall_at
from tiers import slow_unless
from tiny_models import METRICS, NUM_ITEMS, dicts, examples, make, model_class, tuples, walks

from hln_tf.common.interrupt import StopOnSignal
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions
from hln_tf.layers.choices import LOSSES
from hln_tf.models.registry import MODELS
from hln_tf.tasks import get
from hln_tf.training.evaluation import evaluate

QUICK = ("hln", "stamp", "markov")
EPOCHS, LEARNING_RATE = 4, 0.05

every_model = pytest.mark.parametrize("name", slow_unless(QUICK, MODELS))
every_encoder = pytest.mark.parametrize(
    "name", slow_unless(QUICK, [name for name, entry in MODELS.items() if entry.is_encoder])
)
every_counter = pytest.mark.parametrize(
    "name", slow_unless(QUICK, [name for name, entry in MODELS.items() if not entry.is_encoder])
)


class Fitted(NamedTuple):
    model: keras.Model
    history: keras.callbacks.History


@pytest.fixture(scope="module")
def fitted():
    """By model name, on first use: a model after `fit` with validation data."""
    made = {}

    def fit(name):
        model = make(name)
        validation = dicts(*examples(1))
        if not MODELS[name].is_encoder:
            return Fitted(model, model.fit(walks(), validation_data=validation))
        model.compile(keras.optimizers.Adam(LEARNING_RATE))
        train = dicts(*examples(count=200))
        history = model.fit(train, validation_data=validation, epochs=EPOCHS, verbose=0)
        return Fitted(model, history)

    def fitted(name):
        if name not in made:
            made[name] = fit(name)
        return made[name]

    return fitted


def numpy_metrics(scores, target, weight=None):
    """Recall, MRR and the full softmax's loss, by the reference."""
    found = ranks(scores, target - 1)
    if weight is not None:  # examples count as often as their weights say
        found = np.repeat(found, weight)
        scores, target = (np.repeat(part, weight, axis=0) for part in (scores, target))
    losses = [-log_softmax(row)[t - 1] for row, t in zip(scores, target, strict=True)]
    metrics = {f"recall@{k}": recall_at(found, k) for k in (5, 10, 20)}
    return metrics | {f"mrr@{k}": mrr_at(found, k) for k in (5, 10, 20)} | {"loss": np.mean(losses)}


def names_of_evaluation(name):
    return METRICS | ({"loss"} if MODELS[name].is_encoder else set())


# Construct


@every_model
def test_signature_and_help_list_all_settings(name):
    cls = model_class(name)
    parameters = inspect.signature(cls).parameters
    assert next(iter(parameters)) == "num_items"
    fields = dataclasses.fields(cls.Settings)
    shown = {key: parameters[key].default for key in parameters}
    assert {field.name: field.default for field in fields}.items() <= shown.items()
    assert {"score_megabytes", "name"} <= parameters.keys()
    assert ({"loss", "seed"} <= parameters.keys()) == MODELS[name].is_encoder
    lines = pydoc.plain(pydoc.render_doc(cls)).splitlines()
    described = {line.strip(" |").partition(": ")[0] for line in lines if ": " in line}
    assert parameters.keys() <= described
    made = make(name, **{key: getattr(cls.Settings(), key) for key in shown if key in fields})
    assert made.num_items == NUM_ITEMS


@every_model
def test_a_config_makes_an_equal_model_with_other_weights(fitted, name):
    model, _ = fitted(name)
    config = json.loads(json.dumps(model.get_config()))
    assert config["num_items"] == NUM_ITEMS
    for copy in (type(model).from_config(config), keras.models.clone_model(model)):
        assert type(copy) is type(model) and copy.settings == model.settings
        assert copy.get_config() == model.get_config()
        assert [w.shape for w in copy.weights] == [w.shape for w in model.weights]
        assert np.sum(copy.item_counts) == 0
        if MODELS[name].is_encoder:
            assert np.any(copy.X.numpy() != model.X.numpy())


@pytest.mark.slow
def test_a_config_makes_a_model_after_all_verbs(tmp_path):
    model = make("hln")
    model.compile("sgd")
    items, target = examples()
    model.fit(items, target, verbose=0)
    for save in (
        lambda: model.save(tmp_path / "model.keras"),
        lambda: model.save_weights(tmp_path / "model.weights.h5"),
        lambda: tf.saved_model.save(model, str(tmp_path / "saved")),
        lambda: model.save(tmp_path / "folder"),
        lambda: model.export(tmp_path / "export"),
    ):
        save()
        for copy in (type(model).from_config(model.get_config()), keras.models.clone_model(model)):
            assert copy.get_config() == model.get_config()
    with pytest.raises(NotImplementedError):
        model.save(tmp_path / "model.h5")
    assert type(model).from_config(model.get_config()).settings == model.settings


@every_model
def test_metrics_are_no_weights(fitted, name):
    model, _ = fitted(name)
    assert [metric.name for metric in model.metrics][-1] == "mrr@20"
    of_metrics = {weight.ref() for metric in model.metrics for weight in metric.weights}
    assert of_metrics and not of_metrics & {weight.ref() for weight in model.weights}


# Fit


@every_encoder
@pytest.mark.parametrize("form", ["dicts", "pairs", "arrays"])
def test_fit_lowers_the_loss(fitted, name, form):
    if form == "dicts":
        losses = fitted(name).history.history["loss"]
    else:
        parts = examples(count=200)
        data = [tuples(*parts)] if form == "pairs" else parts
        model = make(name)
        model.compile(keras.optimizers.Adam(LEARNING_RATE))
        losses = model.fit(*data, epochs=EPOCHS, verbose=0).history["loss"]
    assert len(losses) == EPOCHS and np.all(np.isfinite(losses))
    assert losses[-1] < losses[0]


@every_counter
def test_models_that_count_fit_sessions_and_lists(fitted, name):
    model, _ = fitted(name)
    other = make(name)
    other.fit(Sessions.from_lists(walks()))
    items = examples(1)[0]
    np.testing.assert_array_equal(other.scores(items), model.scores(items))
    assert np.sum(other.item_counts) == sum(map(len, walks()))


@every_counter
def test_models_that_count_name_what_they_fit(name):
    for wrong in (None, "123", {"sessions": [[1, 2]]}):
        with pytest.raises(TypeError, match="sessions must be a list with each session's item"):
            make(name).fit(wrong)


@every_counter
def test_callbacks_see_one_epoch_of_counting(name, tmp_path):
    model, path = make(name), str(tmp_path / "best.keras")
    checkpoint = keras.callbacks.ModelCheckpoint(
        path, monitor="val_mrr@20", mode="max", save_best_only=True
    )
    callbacks = [checkpoint, keras.callbacks.TensorBoard(tmp_path)]
    history = model.fit(walks(), validation_data=dicts(*examples(1)), callbacks=callbacks)
    assert history.epoch == [0]
    logged = events.scalars(tmp_path / "validation")["epoch_mrr@20"]
    assert [value for _, value in logged] == pytest.approx(history.history["val_mrr@20"])
    loaded, items = keras.models.load_model(path), examples()[0]
    np.testing.assert_array_equal(loaded.scores(items), model.scores(items))


@every_model
def test_history_has_the_metrics_of_validation_data(fitted, name):
    model, history = fitted(name)
    trained = {"loss"} if MODELS[name].is_encoder else set()
    expected = trained | {f"val_{metric}" for metric in names_of_evaluation(name)}
    assert history.history.keys() == expected
    evaluated = model.evaluate(dicts(*examples(1)), return_dict=True, verbose=0)
    last = {metric: history.history[f"val_{metric}"][-1] for metric in evaluated}
    assert last == pytest.approx(evaluated, rel=1e-6)


@every_encoder
@pytest.mark.slow
def test_an_example_of_weight_0_has_no_effect_on_a_fit(name):
    (items, target), weight = examples(count=20), np.repeat([1.0, 0.0], [15, 5])
    changed = np.where(weight, target, 1)
    start = make(name)
    found = []
    for targets in (target, changed):
        model = make(name, seed=3)
        model.set_weights(start.get_weights())
        model.compile(keras.optimizers.SGD(0.1))
        model.fit(tuples(items, targets, weight), epochs=1, verbose=0)
        found.append(model.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert np.any(model.X.numpy() != start.X.numpy())


# Evaluate


@every_model
def test_evaluation_is_that_of_the_trainer(fitted, name):
    model, _ = fitted(name)
    prefixes = Prefixes.from_sessions(Sessions.from_lists(walks(2)), 4)
    expected = evaluate(model, prefixes, 16, "test", StopOnSignal())
    spec = {
        "items": tf.TensorSpec([None, None], tf.int32),
        "target": tf.TensorSpec([None], "int32"),
    }
    batches = tf.data.Dataset.from_generator(
        lambda: prefixes.batches(prefixes.by_length(), 16), output_signature=spec
    )
    found = model.evaluate(batches, return_dict=True, verbose=0)
    assert found.keys() == names_of_evaluation(name)
    assert {metric: found[metric] for metric in METRICS} == pytest.approx(expected, abs=1e-9)
    assert 0 < found["mrr@5"] < found["recall@20"] <= 1


@every_model
@pytest.mark.parametrize("is_weighted", [False, True])
def test_evaluation_is_numpys_over_unequal_batches(fitted, name, is_weighted):
    model, _ = fitted(name)
    items, target = examples(3)
    weight = np.random.default_rng(0).integers(0, 4, len(target)) if is_weighted else None
    parts = (items, target) if weight is None else (items, target, weight)
    found = model.evaluate(tuples(*parts, batch=16), return_dict=True, verbose=0)
    expected = numpy_metrics(model.scores(items).numpy(), target, weight)
    assert found == pytest.approx({key: expected[key] for key in found}, rel=1e-5)


# Predict


@every_model
def test_predictions_are_the_scores(fitted, name):
    model, _ = fitted(name)
    items, target = examples(1)
    expected = model.scores(items).numpy()
    for data in (items, dicts(items, target), tuples(items, target)):
        found = model.predict(data, verbose=0)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert model.predict(items[:3], batch_size=2, verbose=0).shape == (3, NUM_ITEMS)


# Save and load


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    """By model name, on first use: the file of a fitted model."""
    directory = tmp_path_factory.mktemp("saved")

    def saved(name):
        path = directory / f"{name}.keras"
        if not path.is_file():
            fitted(name).model.save(path)
        return path

    return saved


@every_model
def test_a_loaded_model_is_the_saved_one(fitted, saved, name):
    model, _ = fitted(name)
    loaded = keras.models.load_model(saved(name))
    assert type(loaded) is type(model) and loaded.get_config() == model.get_config()
    assert len(loaded.weights) == len(model.weights) > 0
    for weight, expected in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(weight, expected, err_msg=expected.name)
    if MODELS[name].is_encoder:
        state, expected_state = loaded.optimizer.variables, model.optimizer.variables
        assert loaded.optimizer.get_config() == model.optimizer.get_config()
        assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations) > 0
        for found, expected in zip(state, expected_state, strict=True):
            np.testing.assert_array_equal(found, expected, err_msg=expected.name)
    data, items = dicts(*examples(1)), examples(1)[0]
    evaluated = model.evaluate(data, return_dict=True, verbose=0)
    assert loaded.evaluate(data, return_dict=True, verbose=0) == evaluated
    found = loaded.predict(items, verbose=0)
    np.testing.assert_array_equal(found, model.predict(items, verbose=0))


@every_model
def test_weights_are_saved_and_loaded_alone(fitted, name, tmp_path):
    model, _ = fitted(name)
    other = make(name)
    for file in ("all.weights.h5", "checkpoint"):
        model.save_weights(tmp_path / file)
        other.load_weights(tmp_path / file)
        np.testing.assert_array_equal(other.scores(examples()[0]), model.scores(examples()[0]))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_saved_with_its_model(loss, tmp_path):
    options = {"num_negatives": 7, "sampling_power": 1.0, "score_penalty": 0.5}
    model = make("bpr_mf", loss=get(loss, **options))
    model.fit_counts(Sessions.from_lists(walks()))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    items, target = examples()
    batch = {"items": items, "target": tf.constant(target, tf.int32), "seed": tf.constant([1, 2])}
    for training in (True, False):
        expected = model.compute_loss(batch, training=training)
        np.testing.assert_array_equal(loaded.compute_loss(batch, training=training), expected)
    assert loaded.get_config() == model.get_config()
    known = model.retrieval_loss.get_config().items()
    assert {key: value for key, value in known if key in options}.items() <= options.items()


# A verb is the first call after the loading of a model.
IN_ANOTHER_PROCESS = """
import json
import sys

sys.path.insert(0, "tests")
import hln_tf
import tf_keras as keras
from tiny_models import dicts, examples

results = {}
for path in sys.argv[1:]:
    items, target = examples(1)
    results[path] = {
        "predicted": keras.models.load_model(path).predict(items, verbose=0).tolist(),
        "evaluated": keras.models.load_model(path).evaluate(
            dicts(items, target), return_dict=True, verbose=0
        ),
        "scores": keras.models.load_model(path)(items).numpy().tolist(),
    }
print(json.dumps(results))
"""


@pytest.mark.parametrize("names", [QUICK, pytest.param(tuple(MODELS), marks=pytest.mark.slow)])
@pytest.mark.slow
def test_models_load_in_another_process(fitted, saved, names):
    outcome = finish(start(IN_ANOTHER_PROCESS, *map(saved, names)))
    assert outcome.code == 0, outcome.err
    results = json.loads(outcome.out)
    items, target = examples(1)
    for name in names:
        model, result = fitted(name).model, results[str(saved(name))]
        expected = model.scores(items)
        np.testing.assert_allclose(result["predicted"], expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(result["scores"], expected, rtol=1e-5, atol=1e-5)
        evaluated = model.evaluate(dicts(items, target), return_dict=True, verbose=0)
        assert result["evaluated"] == pytest.approx(evaluated, rel=1e-6)


@every_model
@pytest.mark.parametrize("seen", ["nothing", "one session", "a fit"])
@pytest.mark.slow
def test_a_saved_model_takes_sessions_of_any_number_and_length(fitted, name, seen, tmp_path):
    model = fitted(name).model if seen == "a fit" else make(name)
    if seen == "one session":
        model(tf.constant([[1, 2]]))
    tf.saved_model.save(model, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    random = np.random.default_rng(0)
    for shape in ((1, 1), (3, 7), (20, 4)):
        items = tf.constant(random.integers(0, NUM_ITEMS + 1, shape), tf.int32)
        for scores in (
            loaded(items),
            loaded.signatures["serving_default"](items=items)["output_1"],
        ):
            np.testing.assert_allclose(scores, model.scores(items), rtol=1e-5, atol=1e-5)
