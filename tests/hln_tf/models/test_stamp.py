import functools

import numpy as np
import pytest
from one_step import check, make_case
from reference import sigmoid


def query(session, w, max_norm=np.inf):
    """Equations 3 to 8 of the paper, with the authors' sum of m_a and m_s in equation 5's place."""
    x = [w["X"][item] for item in session]
    x = [x_i * min(1, max_norm / np.linalg.norm(x_i)) for x_i in x]
    m_s, x_t = sum(x) / len(x), x[-1]
    m_a = np.zeros_like(m_s)
    for x_i in x:
        hidden = x_i @ w["W_1"] + x_t @ w["W_2"] + m_s @ w["W_3"] + w["b_a"]
        m_a = m_a + (w["w_0"] @ sigmoid(hidden)) * x_i
    h_s = np.tanh((m_a + m_s) @ w["W_s"] + w["b_s"])
    h_t = np.tanh(x_t @ w["W_t"] + w["b_t"])
    return h_s * h_t


@pytest.mark.parametrize("max_norm", [0.0, 0.9])
def test_scores_and_a_step_are_those_of_the_definition(max_norm):
    case = make_case("stamp", embedding_dim=3, max_norm=max_norm)
    model = case.model
    variables = {
        "X": model.X,
        "W_1": model.W_1.kernel,
        "W_2": model.W_2.kernel,
        "W_3": model.W_3.kernel,
        "b_a": model.W_1.bias,
        "w_0": model.w_0,
        "W_s": model.W_s.kernel,
        "b_s": model.W_s.bias,
        "W_t": model.W_t.kernel,
        "b_t": model.W_t.bias,
    }
    lengths = np.linalg.norm(model.X.numpy(), axis=1)
    assert lengths.min() < 0.9 < lengths.max()
    check(case, variables, functools.partial(query, max_norm=max_norm or np.inf))
