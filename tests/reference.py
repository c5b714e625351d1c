"""The paper's equations in plain NumPy, one session at a time, in float64.

Guo et al., "Session-based Recommendation with Hierarchical Leaping Networks", SIGIR 2020.
Written from the paper alone and sharing no code with the package, so that tests can compare the
package's results with it. Clarity matters, not speed: loops over groups and time steps.

Symbols are the paper's: d the size of an item embedding, n of a hidden state, T the clicks of a
session, L the preference groups. Matrices are as the paper writes them, applied from the left
(`W_p x`); the GRU's weights alone are laid out as Keras stores them, applied from the right
(`x kernel`). Where the paper is silent: a_0 = h_{l,0} = 0, and all L passes share one set of
weights.
"""

import numpy as np


def sigmoid(x):
    return np.exp(-np.logaddexp(0.0, -np.asarray(x, np.float64)))


def log_softmax(scores):
    scores = np.asarray(scores, np.float64)
    shifted = scores - np.max(scores)
    return shifted - np.log(np.sum(np.exp(shifted)))


def preference_gate(x, a, weights):
    """Equation 1: g_p [d], the part of the item that the groups before have not learnt."""
    return sigmoid(weights["W_p"] @ x + weights["U_p"] @ a)


def leap_logit(h, x, g_p, weights):
    """The logit of equation 2; without b where it is added to another one."""
    return weights["w_q"] @ h + weights["u_q"] @ (g_p * x) + weights.get("b", 0.0)


def predictive_logit(h, x, weights, normalize=False):
    """The logit that leaps over clicks which the preference h would not have predicted.

    theta is ten times its weight; the score of x is that of equations 6 and 7. With `normalize`
    the query W h has length 1, less where W h is shorter than 0.1, times a scale.
    """
    query = weights["W"] @ h
    if normalize:
        query = query / max(np.sqrt(query @ query), 0.1)
    return 10.0 * weights["theta"] - weights["alpha"] * weights.get("scale", 1.0) * (x @ query)


def leap_probability(h, x, g_p, weights):
    """Equation 2: p, the probability of skipping the item."""
    return sigmoid(leap_logit(h, x, g_p, weights))


def likeliest_gate(p):
    """Equation 3 without chance: the likelier gate, 0 on a tie."""
    return 1 if p > 0.5 else 0


def hard_gate(t, logit):
    """The likelier gate as a function of the time step and the logit."""
    return 0.0 if logit is None else float(likeliest_gate(sigmoid(logit)))


def expected_gate(t, logit):
    """The probability itself as a function of the time step and the logit."""
    return sigmoid(-12.0 if logit is None else logit)


class StraightThroughGate:
    """Equation 3 for given noise: a gate of 0 or 1 whose derivative is the relaxed sample's.

    A function of the time step and the logit. The first run over a session fixes each gate and
    its distance from the relaxed sample; in later runs, with other weights, a gate differs from
    that of the first by the difference of the relaxed samples. So differences between runs give
    the straight-through estimator's gradient.

    Args:
        noise: [T], logistic.
        temperature: Of the relaxation.
    """

    def __init__(self, noise, temperature):
        self.noise, self.temperature = noise, temperature
        self.distances = {}

    def __call__(self, t, logit):
        if logit is None:
            return 0.0
        relaxed = sigmoid((logit + self.noise[t]) / self.temperature)
        gate = 1.0 if logit + self.noise[t] > 0 else 0.0
        return relaxed + self.distances.setdefault(t, gate - relaxed)


def gru_step(h, x, weights):
    """The GRU of equation 4, as Keras computes it with `reset_after=True`.

    kernel [d, 3n], recurrent_kernel [n, 3n] and bias [2, 3n] (input, recurrent) each contain the
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
    """Equation 4: the state where the gate is 1, the GRU's where it is 0."""
    return g * h + (1.0 - g) * gru_step(h, x, weights)


def leap_recurrent_unit(
    x, a, weights, gate, h_0=None, is_click=None, available=None, retained_0=0.0, normalize=False
):
    """Equations 1 to 4: one pass over one session.

    Without W_p in the weights the items are not gated (g_p = 1); without w_q and alpha no click is
    skipped. With alpha the logit is `predictive_logit`, added to equation 2's where there is w_q,
    but a pass that has retained less than half a click retains the next, by a logit of -12.

    Args:
        x: [T, d], item embeddings, oldest first.
        a: [n], the aggregate of the preferences before.
        weights: See `hln`.
        gate: From the time step and the logit of p to the gate; the logit is None where the
            click is retained because the pass has retained nothing before.
        h_0: [n]; zeros without.
        is_click: [T], False at padding, where the state does not change; all clicks without.
        available: [T], 0 for clicks that must be skipped, else 1; all 1 without.
        retained_0: The sum of the clicks retained before.
        normalize: See `predictive_logit`.

    Returns:
        h [T, n], the states; p [T], the probabilities of skipping, 1 at padding and less by what
        is not available; g [T], the gates, 1 at padding; retained, the sum of what was retained.
    """
    T, n = len(x), len(a)
    h, state = np.zeros((T, n)), np.zeros(n) if h_0 is None else h_0
    p, g, retained = np.ones(T), np.ones(T), retained_0
    for t in range(T):
        if is_click is None or is_click[t]:
            v = 1.0 if available is None else available[t]
            p[t], g[t] = 0.0, 0.0
            logit = 0.0
            if "w_q" in weights:
                g_p = preference_gate(x[t], a, weights) if "W_p" in weights else np.ones_like(x[t])
                logit += leap_logit(state, x[t], g_p, weights)
            if "alpha" in weights:
                logit += predictive_logit(state, x[t], weights, normalize)
            if "alpha" in weights and retained < 0.5:
                p[t], g[t] = sigmoid(-12.0), gate(t, None)
            elif "alpha" in weights or "w_q" in weights:
                p[t], g[t] = sigmoid(logit), gate(t, logit)
            k = (1.0 - g[t]) * v
            p[t] = 1.0 - (1.0 - p[t]) * v
            retained += k
            state = lru_step(state, x[t], 1.0 - k, weights)
        h[t] = state
    return {"h": h, "p": p, "g": g, "retained": retained}


def aggregate(groups, weights, aggregation="sum", ages=None):
    """Equation 5, the two alternatives that the paper names, and `recency`, over groups [l, n].

    `ages` are the clicks of the session after the last one of each group; from 15 on they count
    as 15.
    """
    groups = np.asarray(groups, np.float64)
    if aggregation == "sum":
        return np.sum(groups, axis=0)
    if aggregation == "max":
        return np.max(groups, axis=0)
    if aggregation == "recency":
        return np.exp(weights["r"][np.minimum(ages, 15)]) @ groups
    if aggregation == "attention":
        energies = [weights["v_att"] @ np.tanh(weights["W_att"] @ h) for h in groups]
        alpha = np.exp(log_softmax(energies))
        return sum(alpha_l * h for alpha_l, h in zip(alpha, groups, strict=True))
    raise ValueError(f"aggregation is sum, max, attention or recency, received {aggregation!r}")


def ideal_item(a, weights):
    """Equation 6: x_ideal [d]."""
    return weights["W"] @ a


def item_scores(x_ideal, items):
    """The inner product of equation 7, before its softmax: items [N, d] to scores [N]."""
    return np.asarray(items, np.float64) @ x_ideal


def hln(
    item_embeddings,
    weights,
    gates=None,
    aggregation="sum",
    groups=None,
    exclusive=False,
    normalize=False,
):
    """Run the whole network over one session.

    Args:
        item_embeddings: [T, d], those of the clicked items, oldest first.
        weights: W_p [d, d], U_p [d, n], w_q [n], u_q [d], b, kernel, recurrent_kernel, bias
            (see `gru_step`), W [d, n]; for attention also v_att [n] and W_att [n, n], for
            recency r [16]; for the predictive gate theta and alpha, with `normalize` also the
            scale.
        gates: A gate for each of L groups, see `leap_recurrent_unit`, or [L, T] of 0 and 1, where
            1 skips; None decides each by its probability, skipping where p > 1/2, in as many
            passes as `groups` says.
        aggregation: "sum", "max", "attention" or "recency".
        groups: L; needed only where `gates` is None.
        exclusive: Whether later groups skip the clicks that a group retains.
        normalize: See `predictive_logit`.

    Returns:
        h [L, n], each group's last state; a [L, n], the aggregate after each group;
        p [L, T], the probability of skipping; g [L, T], the gates used; x_ideal [d].
    """
    x = np.asarray(item_embeddings, np.float64)
    weights = {name: np.asarray(value, np.float64) for name, value in weights.items()}
    if gates is None and groups is None:
        raise ValueError("`groups` is needed where `gates` is None")
    h, a, p, g, ages = [], [], [], [], []
    a_before, free = np.zeros(weights["W"].shape[1]), np.ones(len(x))
    for group in range(groups if gates is None else len(gates)):
        gate = hard_gate if gates is None else gates[group]
        if not callable(gate):
            gate = lambda t, logit, values=gate: values[t]  # noqa: E731
        available = free.copy() if exclusive else None
        passed = leap_recurrent_unit(
            x, a_before, weights, gate, available=available, normalize=normalize
        )
        clicks = np.flatnonzero((1.0 - passed["g"]) * (free if exclusive else 1.0) >= 0.5)
        ages.append(len(x) - 1 - clicks[-1] if len(clicks) else len(x))
        free = free * passed["g"]
        h.append([np.zeros_like(a_before), *passed["h"]][-1])  # 0 after no click
        p.append(passed["p"])
        g.append(passed["g"])
        a_before = aggregate(h, weights, aggregation, ages)
        a.append(a_before)
    of_groups = {"h": np.array(h), "a": np.array(a), "p": np.array(p), "g": np.array(g)}
    return {**of_groups, "x_ideal": ideal_item(a_before, weights)}


def softmax_cross_entropy(scores, targets):
    """The mean over the batch of -log y_hat[target]; scores [B, N], targets [B] from 0."""
    losses = [-log_softmax(row)[target] for row, target in zip(scores, targets, strict=True)]
    return float(np.mean(losses))


def smoothed_cross_entropy(scores, targets, smoothing):
    """The mean over the batch of the cross-entropy of targets smoothed evenly over all N items."""
    losses = []
    for row, target in zip(scores, targets, strict=True):
        mass = np.full(len(row), smoothing / len(row))
        mass[target] += 1 - smoothing
        losses.append(-mass @ log_softmax(row))
    return float(np.mean(losses))


def equation_8(scores, targets):
    """Equation 8 as printed: summed over the items, then the mean over the batch.

    log(1 - y_hat_i) is computed from the other items' sum, which is exact where y_hat_i is close
    to 1.
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
    """The number of items that score no lower than the target, itself included.

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
