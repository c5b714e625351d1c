import numpy as np
import pytest
import tensorflow as tf
from one_step import check, make_case
from sr_gnn_oracle import D, query, weights

from hln_tf.models import NISER, SRGNN


def with_positions(session, w, positions):
    places = [w["P"][min(t, positions - 1)] for t in range(len(session))]
    return query(session, w, 1, places)


@pytest.mark.parametrize("positions", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_scores_and_a_step_are_those_of_the_definition(positions):
    case = make_case("niser", embedding_dim=D, positions=positions, normalize=False, dropout=0.0)
    variables = weights(case.model) | {"P": case.model.P}
    check(case, variables, lambda session, w: with_positions(session, w, positions))


def test_scores_are_cosines_times_the_scale_of_an_encoding_of_normalised_items():
    case = make_case("niser", embedding_dim=D, dropout=0.0)
    model = case.model
    model.scale.assign(16.0)
    w = {name: variable.numpy() for name, variable in (weights(model) | {"P": model.P}).items()}
    w["X"] = w["X"] / np.linalg.norm(w["X"], axis=1, keepdims=True)
    session = [2, 1, 2, 5]
    encoding = with_positions(session, w, 50)
    expected = 16 * w["X"] @ encoding / np.linalg.norm(encoding)
    items = tf.constant([[item + 1 for item in session]])
    np.testing.assert_allclose(model.scores(items), [expected], rtol=1e-4, atol=1e-4)


def test_the_order_of_clicks_matters_beyond_the_graph():
    # Both sessions have the same graph, but not the same positions.
    sessions = tf.constant([[1, 2, 1, 1, 2], [1, 1, 2, 1, 2]])
    for model, differs in ((SRGNN(3, embedding_dim=D), False), (NISER(3, embedding_dim=D), True)):
        scores = model.scores(sessions).numpy()
        assert np.allclose(scores[0], scores[1], rtol=1e-4, atol=1e-5) != differs


def test_its_paper_drops_a_tenth_and_starts_from_a_scale_of_16():
    settings = make_case("niser").model.settings
    assert (settings.normalize, settings.dropout, settings.scale) == (True, 0.1, 16.0)
