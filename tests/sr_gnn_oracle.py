"""SR-GNN over one session's own graph, node by node."""

import itertools

import numpy as np
import reference

D = 3


def query(session, w, propagations, positions=None):
    """Equations 1 to 7 of the paper; `positions`, [clicks, d], are added to the states."""
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
    states = [v[item] for item in session]
    if positions is not None:
        states = [state + place for state, place in zip(states, positions, strict=True)]
    s_g = np.zeros(D)
    for state in states:
        hidden = reference.sigmoid(states[-1] @ w["W_1"] + state @ w["W_2"] + w["c"])
        s_g = s_g + (w["q"] @ hidden) * state
    return np.concatenate([states[-1], s_g]) @ w["W_3"]


def weights(model):
    """The weights of SR-GNN by the names that `query` has for them."""
    return {
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
