import numpy as np
import pytest
import reference
import tensorflow as tf
from small_hln import NUM_ITEMS, D, L, N, make_model, weights_of

from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions
from hln_tf.layers.choices import AGGREGATIONS
from hln_tf.models.hln import HLN
from hln_tf.tasks import Equation8, FullSoftmax
from hln_tf.training.evaluation import mean_retention

LONGEST = 30
SEED = tf.constant([3, 4])


def sessions_of_all_lengths(seed=1):
    random = np.random.default_rng(seed)
    return [random.integers(1, NUM_ITEMS + 1, length) for length in range(1, LONGEST + 1)]


def padded(sessions, side="left"):
    items = np.zeros((len(sessions), max(map(len, sessions))), np.int32)
    for row, session in zip(items, sessions, strict=True):
        if side == "left":
            row[: len(session)] = session
        else:
            row[len(row) - len(session) :] = session
    return tf.constant(items)


@pytest.fixture(scope="module", params=AGGREGATIONS)
def model(request):
    return make_model(aggregation=request.param)


def compare(model, session, x_ideal, p, gates, groups=None):
    """Compare one row of results with the reference; return the reference's gates."""
    expected = reference.hln(
        model.X.numpy()[session - 1],
        weights_of(model),
        gates,
        model.settings.aggregation,
        groups,
    )
    np.testing.assert_allclose(x_ideal, expected["x_ideal"], atol=1e-5)
    np.testing.assert_allclose(p[:, : len(session)], expected["p"], atol=1e-5)
    np.testing.assert_array_equal(p[:, len(session) :], 1.0)
    return expected["g"]


def test_unknown_loss_is_an_error():
    with pytest.raises(ValueError, match=r"`loss` must be .*'top1'.* received 'hinge'"):
        make_model(loss="hinge")


def test_results_for_the_likelier_gates_are_the_references(model):
    sessions = sessions_of_all_lengths()
    x_ideal, p = model.encode_with_leaps(padded(sessions))
    assert p.shape == (LONGEST, L, LONGEST)
    used = [
        compare(model, session, x_ideal[row], p[row], None, L)
        for row, session in enumerate(sessions)
    ]
    assert 0.1 < np.concatenate(used, axis=1).mean() < 0.9


def test_results_for_given_gates_are_the_references(model, monkeypatch):
    sessions = sessions_of_all_lengths(seed=2)
    gates = np.random.default_rng(5).integers(0, 2, (L, LONGEST, LONGEST))
    # Noise beyond all logits leaves the gate no choice.
    forcing = tf.constant(np.where(gates == 1, 1e3, -1e3), tf.float32)
    monkeypatch.setattr(model, "noise", lambda shape, training, seed: forcing)
    x_ideal, p = model.encode_with_leaps(padded(sessions), training=True)
    for row, session in enumerate(sessions):
        compare(model, session, x_ideal[row], p[row], gates[:, row, : len(session)])


def test_one_group_has_no_preferences_before_it():
    model = make_model(num_groups=1)
    session = sessions_of_all_lengths()[9]
    x_ideal, p = model.encode_with_leaps(padded([session]))
    compare(model, session, x_ideal[0], p[0], None, 1)


def test_scores_are_inner_products_with_the_ideal_item(model):
    items = padded(sessions_of_all_lengths()[:4])
    x_ideal = model.encode(items).numpy()
    expected = [reference.item_scores(x, model.X.numpy()) for x in x_ideal]
    np.testing.assert_allclose(model.scores(items), expected, atol=1e-5)


@pytest.mark.parametrize("loss", ["softmax", "equation_8", FullSoftmax(), Equation8()])
def test_loss_is_that_of_the_reference(loss):
    model = make_model(loss=loss)
    sessions = sessions_of_all_lengths()[:5]
    target = np.array([1, 12, 5, 5, 7])
    scores = []
    for session in sessions:
        query = reference.hln(model.X.numpy()[session - 1], weights_of(model), groups=L)["x_ideal"]
        scores.append(reference.item_scores(query, model.X.numpy()))
    is_equation_8 = isinstance(model.retrieval_loss, Equation8)
    criterion = reference.equation_8 if is_equation_8 else reference.softmax_cross_entropy
    batch = {"items": padded(sessions), "target": tf.constant(target)}
    np.testing.assert_allclose(model.compute_loss(batch), criterion(scores, target - 1), rtol=1e-5)


def test_test_step_ranks_the_target_by_the_scores():
    model = make_model()
    items, target = padded(sessions_of_all_lengths()), tf.range(LONGEST) % NUM_ITEMS + 1
    model.test_step({"items": items, "target": target})
    ranks = reference.ranks(model.scores(items).numpy(), target.numpy() - 1)
    results = model.ranking.results()
    np.testing.assert_allclose(results["recall@5"], reference.recall_at(ranks, 5), rtol=1e-6)
    np.testing.assert_allclose(results["mrr@10"], reference.mrr_at(ranks, 10), rtol=1e-6)


def test_training_does_not_update_the_metrics():
    model, (items, target) = make_model(), training_batch()
    batch = {"items": items, "target": target, "seed": SEED}
    model.compute_loss(batch, training=True)
    assert set(model.ranking.results().values()) == {0.0}
    model.compute_loss(batch, training=False)
    ranks = reference.ranks(model.scores(items).numpy(), target.numpy() - 1)
    expected = reference.mrr_at(ranks, 20)
    assert model.ranking.results()["mrr@20"] == pytest.approx(expected, rel=1e-6)


def test_noise_is_a_function_of_the_seed_in_training():
    model, items = make_model(), padded(sessions_of_all_lengths())
    first = model.encode(items, training=True, seed=SEED)
    np.testing.assert_array_equal(first, model.encode(items, training=True, seed=SEED))
    other = model.encode(items, training=True, seed=SEED + 1)
    assert np.any(np.abs(first - other) > 1e-3)


def test_groups_and_clicks_have_noise_of_their_own():
    noise = make_model().noise(tf.zeros([6, 7], tf.int32), True, SEED).numpy()
    assert noise.shape == (L, 6, 7)
    assert len(np.unique(noise)) == noise.size


def test_inference_is_deterministic_unless_gates_are_sampled():
    items = padded(sessions_of_all_lengths())
    for inference_gate, is_sampled in [("hard", False), ("expected", False), ("sampled", True)]:
        model = make_model(inference_gate=inference_gate)
        first, other = (model.encode(items, seed=seed) for seed in (SEED, SEED + 1))
        assert np.any(first != other) == is_sampled


def test_retention_is_the_complement_of_the_leap_probability_and_0_at_padding(model):
    sessions = sessions_of_all_lengths()
    for side in ("left", "right"):
        items = padded(sessions, side)
        retention = model.retention(items).numpy()
        leaps = model.encode_with_leaps(items)[1].numpy()
        assert retention.shape == (LONGEST, L, LONGEST)
        assert np.all((retention >= 0) & (retention <= 1))
        clicked = np.repeat(items.numpy()[:, None] > 0, L, axis=1)
        np.testing.assert_array_equal(retention[~clicked], 0.0)
        np.testing.assert_allclose(retention[clicked], 1 - leaps[clicked])
        assert np.ptp(retention[clicked]) > 0.2


def test_padding_between_clicks_changes_nothing(model):
    clicks = [3, 1, 12, 1, 7]
    spread = tf.constant([[0, 3, 0, 0, 1, 12, 0, 1, 7, 0]])
    x_ideal, p = model.encode_with_leaps(tf.constant([clicks]))
    x_ideal_spread, p_spread = model.encode_with_leaps(spread)
    np.testing.assert_allclose(x_ideal_spread, x_ideal, atol=1e-5)
    np.testing.assert_allclose(p_spread.numpy()[:, :, spread[0] > 0], p, atol=1e-5)


def test_padding_changes_nothing_in_training_either():
    model = make_model()
    # Noise of another shape has other values, but cannot change gates with logits as low as this.
    model.leap_recurrent_unit.cell.b.assign(-1e4)
    clicks = tf.constant([[3, 1, 12]])
    spread = tf.constant([[0, 3, 0, 1, 12, 0, 0]])
    np.testing.assert_allclose(
        model.encode(clicks, training=True, seed=SEED),
        model.encode(spread, training=True, seed=SEED),
        atol=1e-5,
    )


def test_a_session_that_leaps_everything_has_the_zero_query():
    model = make_model()
    model.leap_recurrent_unit.cell.b.assign(1e4)
    np.testing.assert_array_equal(model.encode(tf.constant([[3, 1, 12]])), np.zeros((1, D)))


def gradients_of(model, items, target):
    batch = {"items": items, "target": target, "seed": SEED}
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    gradients = tape.gradient(loss, model.trainable_variables)
    names = [weight.name for weight in model.trainable_variables]
    return loss, {
        name: None if gradient is None else tf.convert_to_tensor(gradient).numpy()
        for name, gradient in zip(names, gradients, strict=True)
    }


def training_batch(longest=8):
    return padded(sessions_of_all_lengths()[1:longest]), tf.range(1, longest) % NUM_ITEMS + 1


@pytest.mark.parametrize("num_groups", [2, 3])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_gradient_reaches_every_weight(aggregation, num_groups):
    model = make_model(aggregation=aggregation, num_groups=num_groups)
    _, gradients = gradients_of(model, *training_batch())
    expected = {"X", "W", "U", "c", "w_q", "kernel", "bias", "W_p", "U_p", "u_q", "b"}
    if aggregation == "attention":
        expected |= {"W_a", "v"}
    if aggregation == "recency":
        expected |= {"r"}
    assert {name.split("/")[-1].removesuffix(":0") for name in gradients} == expected
    for name, gradient in gradients.items():
        assert gradient is not None, name
        assert np.all(np.isfinite(gradient)), name
        assert np.any(gradient != 0), name


def test_gradient_reaches_every_weight_from_where_training_starts():
    model = HLN(NUM_ITEMS, embedding_dim=D, hidden_dim=N, num_groups=2)
    model.build()
    _, gradients = gradients_of(model, *training_batch())
    for name, gradient in gradients.items():
        assert np.any(gradient != 0), name


def test_gradient_is_that_of_the_relaxed_gates():
    # Where b alone moves, the loss of the straight-through gates has the slope of the loss whose
    # gates are h g~ + (1 - g~) GRU around the hard ones; one click, one group, by hand:
    # h_1 = (1 - g) GRU(0, x), so d loss / d b = -(d loss / d h . GRU) g~ (1 - g~) / t.
    model = make_model(num_groups=1, temperature=0.5)
    items, target = tf.constant([[4]]), tf.constant([7])
    noise = float(model.noise(tf.zeros([1, 1], tf.int32), True, SEED)[0, 0, 0])
    _, gradients = gradients_of(model, items, target)
    by_name = {name.split("/")[-1]: gradient for name, gradient in gradients.items()}
    weights, X = weights_of(model), model.X.numpy().astype(np.float64)
    x = X[3]
    p = reference.leap_probability(
        np.zeros(N), x, reference.preference_gate(x, np.zeros(N), weights), weights
    )
    logit = np.log(p / (1 - p))
    candidate = reference.gru_step(np.zeros(N), x, weights)
    h = candidate * (logit + noise <= 0)
    y = np.exp(reference.log_softmax(X @ weights["W"] @ h))
    d_h = (y - np.eye(NUM_ITEMS)[6]) @ X @ weights["W"]
    relaxed = reference.sigmoid((logit + noise) / 0.5)
    slope = -(d_h @ candidate) * relaxed * (1 - relaxed) / 0.5
    np.testing.assert_allclose(by_name["b:0"], slope, rtol=1e-4)
    assert abs(slope) > 1e-3


@pytest.mark.parametrize("temperature", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("b", [-1e6, -100.0, 100.0, 1e6])
def test_saturated_leap_logits_leave_loss_and_gradients_finite(b, temperature):
    model = make_model(temperature=temperature, num_groups=2)
    model.leap_recurrent_unit.cell.b.assign(b)
    value, gradients = gradients_of(model, *training_batch(longest=4))
    assert np.isfinite(value)
    for name, gradient in gradients.items():
        assert np.all(np.isfinite(gradient)), name


def test_b_is_one_trainable_scalar_that_starts_at_the_leap_bias():
    model = HLN(NUM_ITEMS, embedding_dim=D, hidden_dim=N, leap_bias=-2.0)
    model.build()
    assert model.leap_recurrent_unit.cell.b.numpy() == -2.0
    assert any(weight is model.leap_recurrent_unit.cell.b for weight in model.trainable_variables)


def test_weights_are_shared_by_all_passes():
    sizes = {sum(w.shape.num_elements() for w in make_model(num_groups=g).weights) for g in (1, 4)}
    assert len(sizes) == 1


def test_a_step_runs_as_a_graph_from_the_first_call():
    model = HLN(NUM_ITEMS, embedding_dim=D, hidden_dim=N, num_groups=2)
    items, target = training_batch()
    batch = {"items": items, "target": target, "seed": SEED}
    in_graph = tf.function(lambda batch: model.compute_loss(batch, training=True))(batch)
    np.testing.assert_allclose(in_graph, model.compute_loss(batch, training=True), rtol=1e-5)


@pytest.mark.parametrize(("bias", "retained"), [(-1e4, 1.0), (0.0, 0.5), (1e4, 0.0)])
def test_mean_retention_is_over_clicks_not_padding(bias, retained):
    model = HLN(9, embedding_dim=4, hidden_dim=3, num_groups=2)
    model.build()
    cell = model.leap_recurrent_unit.cell
    for weight in (cell.w_q, cell.u_q):
        weight.assign(tf.zeros_like(weight))
    cell.b.assign(bias)
    prefixes = Prefixes.from_sessions(Sessions.from_lists([[1, 2, 3, 4, 5], [6, 7]]), 50)
    np.testing.assert_allclose(mean_retention(model, prefixes, batch_size=4), [retained, retained])
