"""HLN with the predictive leap gate and exclusive groups."""

import numpy as np
import pytest
import reference
import tensorflow as tf
import tf_keras as keras
from one_step import central_differences
from small_hln import NUM_ITEMS, D, L, N, make_model, weights_of

from hln_tf.common.errors import SettingError
from hln_tf.models.hln import HLN
from hln_tf.models.settings import HLNSettings

SEED = tf.constant([3, 4])
PREDICTIVE = {"leap_gate": "predictive", "exclusive_groups": True}
VARIANTS = [
    PREDICTIVE,
    PREDICTIVE | {"exclusive_groups": False},
    PREDICTIVE | {"normalize": True, "scale": 3.0},
    PREDICTIVE | {"leap_gate": "combined", "normalize": True, "aggregation": "max"},
    PREDICTIVE | {"aggregation": "recency", "normalize": True},
    {"exclusive_groups": True},
    {"exclusive_groups": True, "gates": "leap", "leap_gate": "combined"},
]
# One click, repeated clicks, and more of them than groups.
SESSIONS = [[5], [3, 3], [2, 2, 2, 2], [1, 12, 1, 7, 7, 3], [4, 9, 2, 11, 6, 4, 10, 1, 8]]


def padded(sessions=SESSIONS):
    items = np.zeros((len(sessions), max(map(len, sessions))), np.int32)
    for row, session in zip(items, sessions, strict=True):
        row[: len(session)] = session
    return tf.constant(items)


def embeddings_of(model, session):
    return model.item_embeddings().numpy()[np.array(session) - 1]


def expected_of(model, session, gates=None):
    return reference.hln(
        embeddings_of(model, session),
        weights_of(model),
        gates,
        model.settings.aggregation,
        L,
        model.settings.exclusive_groups,
        model.settings.normalize,
    )


@pytest.mark.parametrize("inference_gate", ["hard", "expected"])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_results_are_the_references(variant, inference_gate):
    model = make_model(**variant, inference_gate=inference_gate)
    gate = reference.expected_gate if inference_gate == "expected" else reference.hard_gate
    query, leaps = model.encode_with_leaps(padded())
    seen = []
    for row, session in enumerate(SESSIONS):
        expected = expected_of(model, session, L * [gate])
        x_ideal = model.to_query(tf.constant(expected["x_ideal"], tf.float32))
        np.testing.assert_allclose(query[row], x_ideal, atol=1e-5)
        np.testing.assert_allclose(leaps[row, :, : len(session)], expected["p"], atol=1e-5)
        np.testing.assert_array_equal(leaps[row, :, len(session) :], 1.0)
        seen.append(expected["p"].ravel())
    assert np.ptp(np.concatenate(seen)) > 0.5


@pytest.mark.parametrize("fused", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_gradients_through_exclusivity_are_those_of_the_relaxed_gates(variant, fused):
    model = make_model(**variant, temperature=0.7)
    model.leap_recurrent_unit.fused = fused
    session, target = SESSIONS[-1], 7
    items = tf.constant([session])
    batch = {"items": items, "target": tf.constant([target]), "seed": SEED}
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    gradients = tape.gradient(loss, model.trainable_variables)
    found = {
        weight.name.split("/")[-1].split(":")[0]: tf.convert_to_tensor(gradient).numpy()
        for weight, gradient in zip(model.trainable_variables, gradients, strict=True)
    }
    noise = model.noise(items, True, SEED).numpy()[:, 0]
    gates = [reference.StraightThroughGate(of_group, 0.7) for of_group in noise]
    arrays = {name: value.astype(float) for name, value in weights_of(model).items()}
    arrays["X"] = model.X.numpy().astype(float)

    def total(arrays):
        X, scale = arrays["X"], 1.0
        if model.settings.normalize:
            X = X / np.sqrt(np.sum(X * X, axis=1, keepdims=True))
            scale = arrays["scale"]
        result = reference.hln(
            X[np.array(session) - 1],
            arrays,
            gates,
            model.settings.aggregation,
            None,
            model.settings.exclusive_groups,
            model.settings.normalize,
        )
        query = result["x_ideal"]
        if model.settings.normalize:
            query = scale * query / np.sqrt(query @ query)
        return reference.softmax_cross_entropy([X @ query], [target - 1])

    assert total(arrays) == pytest.approx(float(loss), rel=1e-5)
    expected = central_differences(total, arrays)
    expected["U"] = expected.pop("recurrent_kernel")
    of_biases = expected.pop("bias")
    expected |= {"bias": of_biases[0], "c": of_biases[1, 2 * N :]}
    assert set(found) == set(expected)
    for name, gradient in found.items():
        scale = max(1.0, np.abs(expected[name]).max())
        np.testing.assert_allclose(
            gradient, expected[name], rtol=0, atol=2e-5 * scale, err_msg=name
        )
        assert np.any(gradient != 0), name


@pytest.mark.parametrize("variant", [PREDICTIVE, {"exclusive_groups": True}], ids=str)
def test_no_click_is_in_two_groups(variant):
    model = make_model(**variant)
    retention = model.retention(padded()).numpy()
    assert np.all(np.sum(retention > 0.5, axis=1) <= 1)
    for row, session in enumerate(SESSIONS):
        free = 1.0 - np.cumsum(retention[row] > 0.5, axis=0)
        assert np.all(retention[row, 1:][free[:-1] == 0] == 0)
        assert np.all(retention[row, :, len(session) :] == 0)


def test_the_first_free_click_is_retained_and_a_group_without_one_has_the_zero_preference():
    model = make_model(**PREDICTIVE)
    cell = model.leap_recurrent_unit.cell
    cell.alpha.assign(0.0)
    session = tf.constant([[5, 2, 9, 0]])
    # theta 50: each group leaps over all but its first free click.
    cell.theta.assign(5.0)
    retention = model.retention(session).numpy()[0]
    np.testing.assert_allclose(retention[:, :3], np.eye(3), atol=1e-5)
    one = model.preferences(tf.constant([[5]]))
    np.testing.assert_array_equal(one.queries[0, 1:], np.zeros((L - 1, D)))
    # theta -50: the first group retains everything, which leaves a GRU.
    cell.theta.assign(-5.0)
    retention = model.retention(session).numpy()[0]
    np.testing.assert_allclose(retention[0, :3], 1.0, atol=1e-5)
    np.testing.assert_array_equal(retention[1:], 0.0)
    gru = make_model(gates="none", num_groups=1)
    gru.X.assign(model.X)
    gru.W.assign(model.W)
    for name in ("U", "c", "kernel", "bias"):
        own = getattr(gru.leap_recurrent_unit.cell, name)
        own.assign(getattr(cell, name))
    np.testing.assert_allclose(model.encode(session), gru.encode(session), atol=1e-5)


def test_retention_is_times_what_is_free_where_gates_are_expected():
    model = make_model(**PREDICTIVE, inference_gate="expected")
    items = tf.constant([SESSIONS[-1]])
    leaps = [p for p in expected_of(model, SESSIONS[-1], L * [reference.expected_gate])["g"]]
    free, retention = np.ones(len(SESSIONS[-1])), model.retention(items).numpy()[0]
    for group in range(L):
        np.testing.assert_allclose(retention[group], (1 - leaps[group]) * free, atol=1e-5)
        free = free * leaps[group]


def test_padding_and_the_batch_change_nothing():
    model = make_model(**PREDICTIVE)
    together = model.encode(padded())
    for row, session in enumerate(SESSIONS):
        spread = np.zeros((1, 2 * len(session) + 3), np.int32)
        spread[0, 1 : 2 * len(session) : 2] = session
        for items in (tf.constant([session]), tf.constant(spread)):
            np.testing.assert_allclose(model.encode(items)[0], together[row], atol=1e-5)


@pytest.mark.parametrize("temperature", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("theta", [-1e6, -10.0, 10.0, 1e6])
def test_saturated_gates_leave_loss_and_gradients_finite(theta, temperature):
    model = make_model(**PREDICTIVE, normalize=True, temperature=temperature)
    model.leap_recurrent_unit.cell.theta.assign(theta)
    batch = {"items": padded(), "target": tf.range(len(SESSIONS)) + 1, "seed": SEED}
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    assert np.isfinite(loss)
    for gradient in tape.gradient(loss, model.trainable_variables):
        assert np.all(np.isfinite(tf.convert_to_tensor(gradient)))


def test_weights_are_those_of_the_gate_and_the_projection_is_shared():
    names = {
        leap_gate: {
            weight.name.split("/")[-1].removesuffix(":0")
            for weight in HLN(9, embedding_dim=4, hidden_dim=3, leap_gate=leap_gate).weights
        }
        for leap_gate in ("additive", "predictive", "combined")
    }
    of_gru = {"X", "W", "U", "c", "kernel", "bias"}
    names = {
        leap_gate: {name for name in found if name != "item_counts" and "StateVar" not in name}
        for leap_gate, found in names.items()
    }
    assert names["predictive"] == of_gru | {"theta", "alpha"}
    assert names["additive"] == of_gru | {"w_q", "W_p", "U_p", "u_q", "b"}
    assert names["combined"] == names["predictive"] | names["additive"] - {"b"}
    model = HLN(9, leap_gate="predictive", leap_threshold=3.0, leap_slope=0.5)
    cell = model.leap_recurrent_unit.cell
    assert cell.theta.numpy() == pytest.approx(0.3)
    assert cell.alpha.numpy() == 0.5


def test_a_predictive_gate_has_no_preference_gate_to_omit():
    with pytest.raises(SettingError, match="`gates` is 'leap', expected both or none"):
        HLNSettings(gates="leap", leap_gate="predictive")
    assert HLNSettings(gates="none", leap_gate="predictive").gates == "none"


@pytest.mark.slow
def test_a_saved_model_gives_equal_scores(tmp_path):
    model = make_model(**PREDICTIVE, normalize=True, num_items=NUM_ITEMS)
    expected = model.predict(padded(), verbose=0)
    model.save(tmp_path / "hln.keras")
    loaded = keras.models.load_model(tmp_path / "hln.keras")
    np.testing.assert_array_equal(loaded.predict(padded(), verbose=0), expected)
    tf.saved_model.save(model, str(tmp_path / "saved"))
    exported = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(exported(padded()), expected, atol=1e-5)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.predict(padded(), verbose=0), expected)
