"""Layers in functional Keras models: masks, training, saving, loading and cloning."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from hln_tf.layers import (
    GRU,
    LeapRecurrentCell,
    LeapRecurrentUnit,
    PreferenceManager,
    SessionAttention,
    SessionMemory,
)

NUM_ITEMS, D, N = 20, 5, 6
ITEMS = np.array([[0, 3, 7, 0, 2], [9, 1, 4, 0, 0], [5, 5, 8, 11, 19], [0, 0, 0, 0, 6]], np.int32)
A = np.random.default_rng(0).normal(size=(4, N)).astype(np.float32)


def embedded(items):
    return keras.layers.Embedding(NUM_ITEMS, D, mask_zero=True)(items)


def unit_model():
    """A unit with all its inputs and outputs."""
    items = keras.Input([None], dtype="int32", name="items")
    a, h_0 = keras.Input([N], name="a"), keras.Input([N], name="h_0")
    unit = LeapRecurrentUnit(
        N, seed=1, return_sequences=True, return_state=True, return_leap_probabilities=True
    )
    outputs = unit(embedded(items), constants=[a], initial_state=[h_0])
    return keras.Model([items, a, h_0], outputs), [ITEMS, A, -A]


def cell_model():
    """The cell in Keras' own layer."""
    items = keras.Input([None], dtype="int32", name="items")
    a = keras.Input([N], name="a")
    rnn = keras.layers.RNN(LeapRecurrentCell(N, seed=1), return_sequences=True)
    return keras.Model([items, a], rnn(embedded(items), constants=[a])), [ITEMS, A]


def unfused_model():
    items = keras.Input([None], dtype="int32", name="items")
    a = keras.Input([N], name="a")
    unit = LeapRecurrentUnit(N, seed=1, fused=False, return_leap_probabilities=True)
    return keras.Model([items, a], unit(embedded(items), constants=[a])), [ITEMS, A]


def model_of_all_layers():
    items = keras.Input([None], dtype="int32", name="items")
    x = embedded(items)
    states, last = GRU(N)(x)
    attended = SessionAttention()(states, last=last, mask=items > 0)
    read = SessionMemory(7, N, 2)(last)
    a = PreferenceManager("attention")([last, attended, read])
    return keras.Model(items, LeapRecurrentUnit(N, seed=2)(x, constants=[a])), [ITEMS]


MODELS = {
    "unit": unit_model,
    "cell": cell_model,
    "unfused": unfused_model,
    "all": model_of_all_layers,
}


@pytest.fixture(
    params=[
        "unit",
        *(pytest.param(name, marks=pytest.mark.slow) for name in MODELS if name != "unit"),
    ]
)
def made(request):
    """A model and inputs for it."""
    keras.utils.set_random_seed(1)
    model, inputs = MODELS[request.param]()
    return model, inputs


def outputs_of(model, inputs):
    return tf.nest.flatten(model(inputs if len(inputs) > 1 else inputs[0]))


def assert_equal(ours, expected, atol=0.0):
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


def fit(model, inputs, epochs=1):
    """Train towards ones; the loss of each epoch."""
    target = [np.ones(output.shape, np.float32) for output in outputs_of(model, inputs)]
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss="mse")
    return model.fit(inputs, target, epochs=epochs, batch_size=2, verbose=0).history["loss"]


def test_shapes_and_masks_are_known():
    model, _ = unit_model()
    states, last, p = model.outputs
    assert [tuple(output.shape) for output in model.outputs] == [
        (None, None, N),
        (None, N),
        (None, None),
    ]
    assert [getattr(o, "_keras_mask", None) is not None for o in (states, last, p)] == [
        True,
        False,
        False,
    ]


def test_mask_of_the_embedding_is_taken():
    model, inputs = unit_model()
    states, last, p = model(inputs)
    padding = inputs[0] == 0
    np.testing.assert_array_equal(p.numpy()[padding], 1.0)
    assert np.all(p.numpy()[~padding] < 1.0)
    np.testing.assert_array_equal(states[1, 4], states[1, 2])
    # Padding changes nothing: the last session is that of its one click.
    short = model([inputs[0][3:, 4:], inputs[1][3:], inputs[2][3:]])
    np.testing.assert_allclose(short[1][0], last[3], atol=1e-5)


def test_a_mask_reaches_the_next_layer():
    items = keras.Input([None], dtype="int32")
    states = LeapRecurrentUnit(N, return_sequences=True)(embedded(items))
    model = keras.Model(items, keras.layers.GlobalAveragePooling1D()(states))
    states = keras.Model(items, states)(ITEMS).numpy()
    expected = [row[mask].mean(axis=0) for row, mask in zip(states, ITEMS > 0, strict=True)]
    np.testing.assert_allclose(model(ITEMS), expected, atol=1e-5)


def test_every_weight_is_trained_and_the_loss_falls(made):
    model, inputs = made
    before = [weight.numpy() for weight in model.trainable_variables]
    losses = fit(model, inputs, epochs=20)
    assert losses[-1] < losses[0]
    for weight, value in zip(model.trainable_variables, before, strict=True):
        assert np.any(weight != value), weight.name


def test_saved_and_loaded_it_gives_the_same(made, tmp_path):
    model, inputs = made
    fit(model, inputs)
    expected = outputs_of(model, inputs)
    path = tmp_path / "m.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    assert_equal(outputs_of(loaded, inputs), expected)
    assert np.isfinite(fit(loaded, inputs))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LeapRecurrentUnit", "last_click"])
def test_a_fresh_process_that_imports_any_name_of_the_layers_loads_them(name, tmp_path):
    expected = {}
    for each, make in MODELS.items():
        model, inputs = make()
        model.save(tmp_path / f"{each}.keras")
        np.savez(tmp_path / f"{each}_inputs.npz", *inputs)
        expected[each] = outputs_of(model, inputs)
    script = """
        import sys
        import numpy as np
        import tf_keras as keras
        import hln_tf.layers
        directory, imported, *names = sys.argv[1:]
        getattr(hln_tf.layers, imported)
        for name in names:
            inputs = list(np.load(f"{directory}/{name}_inputs.npz").values())
            model = keras.models.load_model(f"{directory}/{name}.keras")
            outputs = model(inputs if len(inputs) > 1 else inputs[0])
            outputs = outputs if isinstance(outputs, list) else [outputs]
            np.savez(f"{directory}/{name}_outputs.npz", *outputs)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path), name, *MODELS]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    for each, outputs in expected.items():
        found = np.load(tmp_path / f"{each}_outputs.npz").values()
        assert_equal(found, outputs, atol=1e-5)


def test_a_clone_has_the_same_configuration_and_its_own_weights(made):
    model, inputs = made
    clone = keras.models.clone_model(model)
    assert clone.get_config() == model.get_config()
    assert np.any(outputs_of(clone, inputs)[0] != outputs_of(model, inputs)[0])
    clone.set_weights(model.get_weights())
    assert_equal(outputs_of(clone, inputs), outputs_of(model, inputs))


# Keras cannot write a SavedModel of its `RNN` with constants over a cell that is not its own.
@pytest.mark.slow
@pytest.mark.parametrize("made", [name for name in MODELS if name != "cell"], indirect=True)
def test_as_a_saved_model_it_takes_sessions_of_any_length(made, tmp_path):
    model, inputs = made
    tf.saved_model.save(model, str(tmp_path / "m"))
    serve = tf.saved_model.load(str(tmp_path / "m")).signatures["serving_default"]
    names = [tensor.name for tensor in model.inputs]
    random = np.random.default_rng(1)
    for batch, time in ((1, 1), (3, 4), (4, 9)):
        items = random.integers(0, NUM_ITEMS, (batch, time)).astype(np.int32)
        given = [items, *(value[:batch] for value in inputs[1:])]
        found = serve(**{n: tf.constant(v) for n, v in zip(names, given, strict=True)})
        expected = outputs_of(model, given)
        assert_equal([found[name] for name in model.output_names], expected, atol=1e-5)


@pytest.mark.slow
def test_a_saved_model_samples_where_the_gate_is_sampled(tmp_path):
    items = keras.Input([None], dtype="int32", name="items")
    unit = LeapRecurrentUnit(N, inference_gate="sampled", seed=4)
    model = keras.Model(items, unit(embedded(items)))
    tf.saved_model.save(model, str(tmp_path / "m"))
    serve = tf.saved_model.load(str(tmp_path / "m")).signatures["serving_default"]
    first, second = (next(iter(serve(items=tf.constant(ITEMS)).values())).numpy() for _ in range(2))
    assert np.any(first != second)


def test_noise_and_available_clicks_may_be_inputs(tmp_path):
    items = keras.Input([None], dtype="int32", name="items")
    noise, available = keras.Input([None], name="noise"), keras.Input([None], name="available")
    h = LeapRecurrentUnit(N)(embedded(items), noise=noise, available=available)
    model = keras.Model([items, noise, available], h)
    random = np.random.default_rng(2)
    noise = random.logistic(size=ITEMS.shape).astype(np.float32)
    inputs = [ITEMS, noise, (random.random(ITEMS.shape) < 0.5).astype(np.float32)]
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    expected = model(inputs, training=True)
    np.testing.assert_array_equal(loaded(inputs, training=True), expected)
    assert np.any(model([ITEMS, -noise, inputs[2]], training=True) != expected)
    assert np.any(model([*inputs[:2], 1 - inputs[2]], training=True) != expected)


@pytest.mark.slow
def test_a_sequential_model_takes_the_unit():
    model = keras.Sequential(
        [keras.layers.Embedding(NUM_ITEMS, D, mask_zero=True), LeapRecurrentUnit(N)]
    )
    assert model(ITEMS).shape == (4, N)
    model.compile("sgd", "mse")
    assert np.isfinite(model.fit(ITEMS, np.ones([4, N]), verbose=0).history["loss"])
