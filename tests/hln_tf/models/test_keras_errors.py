"""Errors of Keras' verbs: in a Python caller's terms, with what was expected.

All models have the verbs' checks from their base classes, so one model of each kind is enough
for these; every model has a constructor of its own.
"""

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tiny_models import NUM_ITEMS, dicts, examples, make, model_class, walks

from hln_tf.models.encoder import SessionEncoder
from hln_tf.models.registry import MODELS

KINDS = ("hln", "stamp", "markov")
ITEMS, TARGET = examples(count=6)
OUT_OF_RANGE = "has an item index out of range, expected"


def with_value(array, value):
    """A copy whose first entry has another value."""
    changed = array.copy()
    changed.flat[0] = value
    return changed


every_model = pytest.mark.parametrize("name", MODELS)


@pytest.fixture(scope="module", params=KINDS)
def name(request):
    return request.param


def make_compiled(name):
    model = make(name)
    if MODELS[name].is_encoder:
        model.compile("sgd")
    else:
        model.fit(walks())
    return model


@pytest.fixture(scope="module")
def model(name):
    return make_compiled(name)


@pytest.fixture(scope="module")
def working(name):
    """A model whose verbs are compiled for good examples: only those can fail when they run."""
    model = make_compiled(name)
    for action in actions(model, ITEMS, TARGET):
        action()
    return model


def assert_error(error_type, expected, action):
    with pytest.raises(error_type) as error:
        action()
    message = str(error.value)
    assert expected in message
    assert "--" not in message.replace("----", "")  # TensorFlow underlines nodes of a graph


def actions(model, items, target):
    """The verbs that take examples; models that count have no `fit` for these."""
    data = (items, target) if target is not None else ({"items": items},)
    yield lambda: model.evaluate(*data, verbose=0)
    if isinstance(model, SessionEncoder):
        yield lambda: model.fit(*data, verbose=0)


@pytest.mark.parametrize(
    ("items", "target", "error", "expected"),
    [
        (ITEMS.astype(np.float32), TARGET, TypeError, "`items` must hold item indices, integers"),
        (ITEMS, TARGET.astype(np.float32), TypeError, "`target` must hold item indices, integers"),
        (ITEMS[:, 0], TARGET, ValueError, "`items` must have shape [batch, time], received"),
        (ITEMS[..., None], TARGET, ValueError, "`items` must have shape [batch, time], received"),
        (ITEMS, ITEMS, ValueError, "`target` must have shape [batch], received"),
        (tf.RaggedTensor.from_tensor(ITEMS), TARGET, TypeError, "`items` must be dense, padded"),
        (ITEMS, None, TypeError, "batches of {'items', 'target'} or pairs (items, target)"),
    ],
    ids=[
        *("float items", "float target", "rank 1", "rank 3", "rank 2 target", "ragged"),
        "no target",
    ],
)
def test_examples_of_another_form(model, items, target, error, expected):
    for action in actions(model, items, target):
        assert_error(error, expected, action)
    if items is not ITEMS:
        assert_error(error, expected, lambda: model.predict(items, verbose=0))
        assert_error(error, expected, lambda: model(items))


@pytest.mark.parametrize(
    ("items", "target", "expected"),
    [
        (ITEMS, with_value(TARGET, 0), f"`target` {OUT_OF_RANGE} 1 to {NUM_ITEMS}"),
        (ITEMS, with_value(TARGET, NUM_ITEMS + 1), f"`target` {OUT_OF_RANGE} 1 to {NUM_ITEMS}"),
        (
            with_value(ITEMS, NUM_ITEMS + 1),
            TARGET,
            f"`items` {OUT_OF_RANGE} 0 to {NUM_ITEMS}, where",
        ),
        (with_value(ITEMS, -1), TARGET, f"`items` {OUT_OF_RANGE} 0 to {NUM_ITEMS}, where"),
    ],
    ids=["target 0", "target too high", "item too high", "item below 0"],
)
def test_item_indices_out_of_range(working, items, target, expected):
    for action in actions(working, items, target):
        assert_error(tf.errors.InvalidArgumentError, expected, action)
    if items is not ITEMS:
        for verb in (lambda items: working.predict(items, verbose=0), working):
            assert_error(tf.errors.InvalidArgumentError, expected, lambda: verb(items))  # noqa: B023
    for action in actions(working, ITEMS, TARGET):
        action()


def test_a_rank_that_is_known_at_run_time_alone(working):
    """After sessions of two lengths, TensorFlow traces other ranks as an unknown one."""
    for action in actions(working, np.pad(ITEMS, [[0, 0], [0, 2]]), TARGET):
        action()
    cases = [
        ("items", "[batch, time]", (ITEMS[:, 0], TARGET)),
        ("items", "[batch, time]", (ITEMS[..., None], TARGET)),
        ("target", "[batch]", (ITEMS, ITEMS)),
    ]
    for name, shape, data in 2 * cases:
        for action in actions(working, *data):
            expected = f"`{name}` must have shape {shape}, received"
            assert_error((ValueError, tf.errors.InvalidArgumentError), expected, action)
    for action in actions(working, ITEMS, TARGET):
        action()


def test_targets_may_be_a_column(working):
    expected = working.evaluate(ITEMS, TARGET, verbose=0)
    assert working.evaluate(ITEMS, TARGET[:, None], verbose=0) == expected
    for action in actions(working, ITEMS, TARGET[:, None]):
        action()


def test_sessions_without_a_time_step_are_sessions_without_a_click(working):
    nothing = np.zeros([2, 0], np.int32)
    expected = working.predict(np.zeros([2, 3], np.int32), verbose=0)
    np.testing.assert_allclose(working.predict(nothing, verbose=0), expected, atol=1e-5)
    np.testing.assert_allclose(working(nothing), expected, atol=1e-5)


def test_an_eager_error_is_a_sentence(model):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        model(np.array([[1, NUM_ITEMS + 2]]))
    expected = f"expected 0 to {NUM_ITEMS}, where 0 is padding, received from 1 to {NUM_ITEMS + 2}"
    assert f"`items` has an item index out of range, {expected}" in str(error.value)
    assert "Summarized" not in str(error.value)


@every_model
def test_bad_arguments_of_the_constructor(name):
    expected = f"{model_class(name).__name__}() got an unexpected argument 'hiden_dim'; it takes"
    assert_error(TypeError, expected, lambda: make(name, hiden_dim=3))
    assert_error(TypeError, "num_items", lambda: model_class(name)())
    assert_error(TypeError, "positional", lambda: model_class(name)(5, 3))
    for wrong in (0, -1, 2.5, "5", None):
        assert_error(
            ValueError,
            f"`num_items` must be an integer of at least 1, received {wrong!r}",
            lambda wrong=wrong: model_class(name)(num_items=wrong),
        )


BAD_SETTINGS = {
    "embedding_dim": (0, "`embedding_dim` is 0, expected at least"),
    "dropout": (1.0, "`dropout` is 1.0, expected at least 0.0 and below 1.0"),
    "aggregation": ("mean", "`aggregation` is 'mean', expected one of: sum, max, attention"),
    "temperature": ("hot", "`temperature` is 'hot', expected a value of type float"),
    "num_groups": (2.5, "`num_groups` is 2.5, expected a value of type int"),
    "neighbors": (0, "`neighbors` is 0, expected at least 1"),
    "top_items": (-1, "`top_items` is -1, expected at least 0"),
    "propagations": (0, "`propagations` is 0, expected at least 1"),
    "loss": ("hinge", "`loss` must be a RetrievalLoss or one of ('softmax', 'equation_8', "),
    "seed": ("one", "`seed` must be an integer or None, received 'one'"),
    "score_megabytes": (0, "`score_megabytes` must be an integer of at least 1, received 0"),
}


@every_model
def test_bad_settings(name):
    known = model_class(name).__signature__.parameters
    for key in BAD_SETTINGS.keys() & known.keys():
        value, expected = BAD_SETTINGS[key]
        assert_error(ValueError, expected, lambda: make(name, **{key: value}))  # noqa: B023


def test_an_argument_of_a_loss_needs_a_loss_object():
    expected = (
        "HLN() got an unexpected argument 'num_negatives', which is an argument of SampledSoftmax "
    )
    assert_error(TypeError, expected, lambda: make("hln", loss="sampled", num_negatives=16))
    expected = f"pass a loss object, HLN({NUM_ITEMS}, loss=SampledSoftmax(num_negatives=...))"
    assert_error(TypeError, expected, lambda: make("hln", loss="sampled", num_negatives=16))
    expected = "loss=BPRMax(score_penalty=...))"
    assert_error(TypeError, expected, lambda: make("hln", score_penalty=16))


def test_objects_of_keras_3(model, name):
    data = dicts(ITEMS, TARGET) if MODELS[name].is_encoder else walks()
    for kind, action in {
        "Adam": lambda: model.compile(keras_3.optimizers.Adam()),
        "EarlyStopping": lambda: model.fit(data, callbacks=[keras_3.callbacks.EarlyStopping()]),
    }.items():
        expected = (
            f"is {kind} of Keras 3, but hln_tf runs on Keras 2: make it with `import tf_keras"
        )
        assert_error(TypeError, expected, action)


def test_loss_and_metrics_are_not_arguments_of_compile(model, name):
    for loss in ("mse", keras.losses.MeanSquaredError(), keras_3.losses.MeanSquaredError()):
        expected = f"the loss is an argument of the model, {type(model).__name__}(num_items, loss="
        assert_error(TypeError, expected, lambda loss=loss: model.compile("sgd", loss=loss))
        assert_error(TypeError, expected, lambda loss=loss: model.compile("sgd", loss))
    assert_error(TypeError, "`metrics` of", lambda: model.compile("sgd", None, ["accuracy"]))
    for argument in ("metrics", "weighted_metrics"):
        options = {argument: ["accuracy"]}
        expected = f"`{argument}` of `compile` are not computed: {type(model).__name__} has Recall"
        assert_error(TypeError, expected, lambda options=options: model.compile("sgd", **options))


def test_recall_and_mrr_are_not_minimised(model, name):
    data = dicts(ITEMS, TARGET) if MODELS[name].is_encoder else walks()
    stopping = keras.callbacks.EarlyStopping(monitor="val_mrr@20")
    several = keras.callbacks.CallbackList([stopping], model=model)
    expected = "would minimise it: pass mode='max'"
    assert_error(ValueError, expected, lambda: model.fit(data, callbacks=several))
    if MODELS[name].is_encoder:  # by position too
        positional = (data, None, None, 1, 0, [stopping])
        assert_error(ValueError, expected, lambda: model.fit(*positional))
    for make_callback in (
        keras.callbacks.EarlyStopping,
        keras.callbacks.ReduceLROnPlateau,
        lambda **options: keras.callbacks.ModelCheckpoint("nowhere", **options),
    ):
        for metric in ("mrr@20", "val_mrr@20", "val_recall@5"):
            for mode in ("auto", "min"):
                assert_error(
                    ValueError,
                    f"(monitor='{metric}') would minimise it: pass mode='max'",
                    lambda: model.fit(
                        data,
                        callbacks=[make_callback(monitor=metric, mode=mode)],  # noqa: B023
                        verbose=0,
                    ),
                )
