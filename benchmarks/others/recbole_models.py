"""RecBole's models: their `calculate_loss` and dense Adam, on batches that are made here.

Its own loader pads every prefix to the longest of the data set, so that these batches,
padded to their own longest, are in its favour.
"""

from typing import Any, NamedTuple

import torch
from recbole.model.sequential_recommender.gru4rec import GRU4Rec
from recbole.model.sequential_recommender.narm import NARM
from recbole.model.sequential_recommender.srgnn import SRGNN

from benchmarks.others.rounds import Round, Work
from benchmarks.others.torch_hln import torch_round

_MODELS = {"gru4rec": GRU4Rec, "narm": NARM, "sr_gnn": SRGNN}
_SEQUENCE, _LENGTH, _ITEM = "item_id_list", "item_length", "item_id"


class _Catalogue(NamedTuple):
    """What the models ask of RecBole's data set: the number of items, padding included."""

    items: int

    def num(self, field: str) -> int:
        """Return the number of values of a field."""
        return self.items


def recbole_round(work: Work, name: str) -> Round:
    """Make a round of training of `gru4rec`, `narm` or `sr_gnn`, with full softmax."""
    dim = work.settings.dim
    config: dict[str, Any] = {
        "USER_ID_FIELD": "session_id",
        "ITEM_ID_FIELD": _ITEM,
        "LIST_SUFFIX": "_list",
        "ITEM_LIST_LENGTH_FIELD": _LENGTH,
        "NEG_PREFIX": "neg_",
        "MAX_ITEM_LIST_LENGTH": work.settings.max_length,
        "device": torch.device("cpu"),
        "embedding_size": dim,
        "hidden_size": dim,
        "loss_type": "CE",
        "num_layers": 1,
        "n_layers": 1,
        "dropout_prob": 0.0,
        "dropout_probs": [0.0, 0.0],
        "step": 1,
    }
    model = _MODELS[name](config, _Catalogue(work.num_items + 1))

    def loss(items: torch.Tensor, target: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return model.calculate_loss({_SEQUENCE: items, _LENGTH: lengths, _ITEM: target})

    return torch_round(work, model, loss)
