"""The paper's equations in plain NumPy, one session at a time, in float64.

Guo et al., "Session-based Recommendation with Hierarchical Leaping Networks", SIGIR 2020.
Written from the paper alone and sharing no code with the package, so that the tests can hold the
package's results against it. Clear before fast: loops over groups and time steps.

Symbols are the paper's: d the size of an item vector, n of a hidden state, T the clicks of a
session, L the groups. Matrices stand as the paper writes them, applied from the left (`W_p x`);
the GRU's weights alone are laid out as Keras stores them, applied from the right (`x kernel`).
Where the paper is silent: a_0 = h_{l,0} = 0, and all L passes share one set of weights.
"""

import numpy as np


def sigmoid(x):
    return np.exp(-np.logaddexp(0.0, -np.asarray(x, np.float64)))


def log_softmax(scores):
    scores = np.asarray(scores, np.float64)
    shifted = scores - np.max(scores)
    return shifted - np.log(np.sum(np.exp(shifted)))


def preference_gate(x, a, weights):
    """Equation 1: g_p [d], what of the item the groups learnt so far leave to be learnt."""
    return sigmoid(weights["W_p"] @ x + weights["U_p"] @ a)


def leap_probability(h, x, g_p, weights):
    """Equation 2: p, the probability of skipping the item."""
    return sigmoid(weights["w_q"] @ h + weights["u_q"] @ (g_p * x) + weights["b"])


def likeliest_gate(p):
    """Equation 3 without chance: the likelier gate, 0 on a tie."""
    return 1 if p > 0.5 else 0


def gru_step(h, x, weights):
    """The GRU of equation 4, as Keras computes it with `reset_after=True`.

    kernel [d, 3n], recurrent_kernel [n, 3n] and bias [2, 3n] (input, recurrent) each hold the
    update gate z, the reset gate r and the candidate, in this order.
    """
    n = h.shape[0]
    from_input = x @ weights["kernel"] + weights["bias"][0]
    from_state = h @ weights["recurrent_kernel"] + weights["bias"][1]
    z = sigmoid(from_input[:n] + from_state[:n])
    r = sigmoid(from_input[n : 2 * n] + from_state[n : 2 * n])
    candidate = np.tanh(from_input[2 * n :] + r * from_state[2 * n :])
    return z * h + (1.0 - z) * candidate


def lru_step(h, x, g, weights):
    """Equation 4: keep the state where the gate leaps, else take the item in."""
    if g == 1:
        return h
    if g == 0:
        return gru_step(h, x, weights)
    raise ValueError(f"a leap gate is 0 or 1, received {g}")


def aggregate(groups, weights, aggregation="sum"):
    """Equation 5 and the two alternatives that the paper names, over groups [l, n]."""
    groups = np.asarray(groups, np.float64)
    if aggregation == "sum":
        return np.sum(groups, axis=0)
    if aggregation == "max":
        return np.max(groups, axis=0)
    if aggregation == "attention":
        energies = [weights["v_att"] @ np.tanh(weights["W_att"] @ h) for h in groups]
        alpha = np.exp(log_softmax(energies))
        return sum(alpha_l * h for alpha_l, h in zip(alpha, groups, strict=True))
    raise ValueError(f"aggregation is sum, max or attention, received {aggregation!r}")


def ideal_item(a, weights):
    """Equation 6: x_ideal [d]."""
    return weights["W"] @ a


def item_scores(x_ideal, items):
    """The inner product of equation 7, before its softmax: items [N, d] to scores [N]."""
    return np.asarray(items, np.float64) @ x_ideal


def hln(session_vectors, weights, gates=None, aggregation="sum", groups=None):
    """Run the whole network over one session.

    Args:
        session_vectors: [T, d], the clicked items' vectors, oldest first.
        weights: W_p [d, d], U_p [d, n], w_q [n], u_q [d], b, kernel, recurrent_kernel, bias
            (see `gru_step`), W [d, n]; for attention also v_att [n] and W_att [n, n].
        gates: [L, T] of 0 and 1, where 1 skips; None decides each by its probability,
            skipping where p > 1/2, in as many passes as `groups` says.
        aggregation: "sum", "max" or "attention".
        groups: L; needed only where `gates` is None.

    Returns:
        h [L, n], each group's last state; a [L, n], the aggregate after each group;
        p [L, T], equation 2; g [L, T], the gates used; x_ideal [d].
    """
    x = np.asarray(session_vectors, np.float64)
    weights = {name: np.asarray(value, np.float64) for name, value in weights.items()}
    if gates is None and groups is None:
        raise ValueError("`groups` is needed where `gates` is None")
    L = groups if gates is None else len(gates)
    T = x.shape[0]
    n = weights["w_q"].shape[0]

    h = np.zeros((L, n))
    a = np.zeros((L, n))
    p = np.zeros((L, T))
    g = np.zeros((L, T), np.int64)
    a_before = np.zeros(n)
    for l in range(L):  # noqa: E741 the paper's index of a group
        state = np.zeros(n)
        for t in range(T):
            g_p = preference_gate(x[t], a_before, weights)
            p[l, t] = leap_probability(state, x[t], g_p, weights)
            gate = likeliest_gate(p[l, t]) if gates is None else gates[l][t]
            state = lru_step(state, x[t], gate, weights)
            g[l, t] = gate
        h[l] = state
        a[l] = a_before = aggregate(h[: l + 1], weights, aggregation)
    return {"h": h, "a": a, "p": p, "g": g, "x_ideal": ideal_item(a_before, weights)}


def softmax_cross_entropy(scores, targets):
    """The mean over the batch of -log y_hat[target]; scores [B, N], targets [B] from 0."""
    losses = [-log_softmax(row)[target] for row, target in zip(scores, targets, strict=True)]
    return float(np.mean(losses))


def equation_8(scores, targets):
    """Equation 8 to the letter: summed over the items, then the mean over the batch.

    log(1 - y_hat_i) is taken from the other items' sum, which keeps its digits where y_hat_i
    is close to 1.
    """
    losses = []
    for row, target in zip(np.asarray(scores, np.float64), targets, strict=True):
        log_y = log_softmax(row)
        total = 0.0
        for i in range(len(row)):
            if i == target:
                total += log_y[i]
            else:
                total += np.logaddexp.reduce(np.delete(log_y, i))
        losses.append(-total)
    return float(np.mean(losses))


def ranks(scores, targets):
    """How many items score no lower than the target, itself included.

    1 is best. A tie counts against the target, and so does a score that is not a number: a
    scorer that gives every item the same score ranks every target last.
    """
    result = []
    for row, target in zip(np.asarray(scores, np.float64), targets, strict=True):
        lower = sum(1 for score in row if score < row[target])
        result.append(len(row) - lower)
    return np.array(result, np.int64)


def recall_at(ranks, k):
    """The share of targets among the first k."""
    return float(np.mean([1.0 if rank <= k else 0.0 for rank in ranks]))


def mrr_at(ranks, k):
    """The mean of 1 / rank, 0 beyond k."""
    return float(np.mean([1.0 / rank if rank <= k else 0.0 for rank in ranks]))
