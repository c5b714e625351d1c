import itertools

import numpy as np
import pytest
import reference
from one_step import check, make_case

D = 3


def query(session, w, propagations):
    """Equations 1 to 7 of the paper over one session's own graph, node by node."""
    nodes = sorted({*session})
    edges = {*itertools.pairwise(session)}
    v = {node: w["X"][node] for node in nodes}
    for _ in range(propagations):
        received = {}
        for node in nodes:
            before = [v[tail] @ w["H_in"] + w["b_in"] for tail, head in edges if head == node]
            after = [v[head] @ w["H_out"] + w["b_out"] for tail, head in edges if tail == node]
            received[node] = np.concatenate(
                [np.mean(each, axis=0) if each else np.zeros(D) for each in (before, after)]
            )
        v = {node: reference.gru_step(v[node], received[node], w) for node in nodes}
    v_t = v[session[-1]]
    s_g = np.zeros(D)
    for item in session:
        hidden = reference.sigmoid(v_t @ w["W_1"] + v[item] @ w["W_2"] + w["c"])
        s_g = s_g + (w["q"] @ hidden) * v[item]
    return np.concatenate([v_t, s_g]) @ w["W_3"]


@pytest.mark.parametrize("propagations", [1, 2])
def test_scores_and_a_step_are_those_of_the_definition(propagations):
    case = make_case("sr_gnn", embedding_dim=D, propagations=propagations)
    model = case.model
    variables = {
        "X": model.X,
        "H_in": model.H_in.kernel,
        "b_in": model.H_in.bias,
        "H_out": model.H_out.kernel,
        "b_out": model.H_out.bias,
        "kernel": model.gru.kernel,
        "recurrent_kernel": model.gru.recurrent_kernel,
        "bias": model.gru.bias,
        "W_1": model.W_1.kernel,
        "c": model.W_1.bias,
        "W_2": model.W_2.kernel,
        "q": model.q,
        "W_3": model.W_3.kernel,
    }
    check(case, variables, lambda session, w: query(session, w, propagations))
