"""HLN in PyTorch as its equations say, without what makes this package fast.

Padded batches, the recurrence step by step with automatic differentiation, full softmax,
dense Adam. The biases are those of the paper.
"""

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.others.rounds import Round, Work


class HLN(nn.Module):
    """Hierarchical Leaping Networks; names are the paper's.

    Args:
      num_items: Size of the catalogue.
      d: Size of an item embedding.
      n: Size of a preference.
      num_groups: L.
    """

    def __init__(self, num_items: int, d: int, n: int, num_groups: int) -> None:
        super().__init__()
        self.n, self.num_groups = n, num_groups
        self.X = nn.Embedding(num_items + 1, d, padding_idx=0)
        self.W_p, self.U_p = nn.Linear(d, d, bias=False), nn.Linear(n, d, bias=False)
        self.w_q, self.u_q = nn.Linear(n, 1, bias=False), nn.Linear(d, 1, bias=True)
        self.gru = nn.GRUCell(d, n)
        self.W = nn.Linear(n, d, bias=False)

    def forward(self, items: torch.Tensor) -> torch.Tensor:
        """Compute x_ideal [batch, d] (eq. 6) of sessions [batch, time] padded with 0."""
        x = self.X(items)
        a = x.new_zeros(len(items), self.n)
        for _ in range(self.num_groups):
            a = a + self.leap(items, x, a)  # eq. 5
        return self.W(a)

    def leap(self, items: torch.Tensor, x: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        """Compute the last state h [batch, n] of one pass (eq. 1-4); padding is skipped."""
        h = torch.zeros_like(a)
        for t in range(items.shape[1]):
            g_p = torch.sigmoid(self.W_p(x[:, t]) + self.U_p(a))
            logit = self.w_q(h) + self.u_q(g_p * x[:, t])
            choices = torch.cat([logit, torch.zeros_like(logit)], dim=1)
            leaps = nn.functional.gumbel_softmax(choices, tau=1.0, hard=True)[:, :1]
            stays = (1 - leaps) * (items[:, t : t + 1] > 0)
            h = stays * self.gru(x[:, t], h) + (1 - stays) * h
        return h

    def loss(self, items: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compute the mean cross-entropy of the softmax over all items (eq. 7)."""
        scores = self(items) @ self.X.weight[1:].T
        return nn.functional.cross_entropy(scores, target - 1)


def hln_round(work: Work) -> Round:
    """Make a round of training."""
    settings = work.settings
    model = HLN(work.num_items, settings.dim, settings.hidden_dim, settings.num_groups)
    return torch_round(work, model, lambda items, target, _: model.loss(items, target))


def torch_round(
    work: Work,
    model: nn.Module,
    loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
) -> Round:
    """Make a round of steps of dense Adam.

    Args:
      work: The prefixes.
      model: What is trained.
      loss: Computes the mean loss of items [batch, time], targets [batch] and lengths
        [batch].
    """
    torch.set_num_threads(work.settings.threads)
    batches = [tuple(map(torch.from_numpy, batch)) for batch in work.shuffled_batches()]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def run() -> None:
        model.train()
        # RecBole turns it on for the process when it is imported; the steps take twice as long.
        with torch.autograd.set_detect_anomaly(False):
            for items, target, lengths in batches:
                optimizer.zero_grad()
                loss(items, target, lengths).backward()
                optimizer.step()

    return Round(len(work.prefixes), run)
