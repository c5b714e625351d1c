"""GRU4Rec's official PyTorch code, from a checkout: its iterator, model, loss and optimiser.

The loop over batches is that of its `fit`, without the set-up of negatives and weights.
"""

import contextlib
import importlib.util
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.others.rounds import Round, UnavailableError, Work

MODULE = "gru4rec_pytorch.py"
# Steps for which negatives are prepared at a time.
_CACHED_STEPS = 1_000


def official_round(work: Work, checkout: Path | None) -> Round:
    """Make a round of session-parallel training with sampled cross-entropy, without dropout.

    Args:
      work: Its last sessions are trained on, as whole prefixes do not exist here.
      checkout: The directory of the code, or None.

    Raises:
      UnavailableError: There is none, or it does not have the code.
    """
    if checkout is None:
        raise UnavailableError("it is not on PyPI, and --gru4rec_path names no checkout of it")
    path = checkout / MODULE
    spec = importlib.util.spec_from_file_location("gru4rec_pytorch", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UnavailableError(f"{path} does not exist, which --gru4rec_path should have")
    code = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(code)
    settings, device = work.settings, torch.device("cpu")
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    sessions = work.whole_sessions()
    clicks = pd.DataFrame(
        {
            "SessionId": np.repeat(np.arange(len(sessions)), sessions.lengths),
            "ItemId": sessions.items,
            "Time": np.arange(len(sessions.items)),
        }
    )
    trainer = code.GRU4Rec(
        layers=[settings.dim],
        batch_size=settings.batch_size,
        n_sample=settings.num_negatives,
        sample_alpha=0.75,
        device=device,
    )
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        batches = code.SessionDataIterator(
            clicks,
            settings.batch_size,
            n_sample=settings.num_negatives,
            sample_alpha=trainer.sample_alpha,
            sample_cache_max_size=_CACHED_STEPS * settings.num_negatives,
            device=device,
        )
    model = code.GRU4RecModel(work.num_items, trainer.layers)
    optimizer = code.IndexedAdagradM(model.parameters(), trainer.learning_rate)
    examples = sum(len(batch[0]) for batch in batches if len(batch) == 2)

    def run() -> None:
        with torch.autograd.set_detect_anomaly(False):  # see `torch_round`
            _epoch(trainer, model, optimizer, batches)

    return Round(examples, run)


def _epoch(trainer: Any, model: Any, optimizer: Any, batches: Any) -> None:
    """Train on all batches; those of three entries say which sessions have ended."""
    hidden = [torch.zeros(trainer.batch_size, trainer.layers[0])]
    valid = trainer.batch_size
    for batch in batches:
        if len(batch) == 2:
            hidden[0].detach_()
            model.zero_grad()
            scores = model.forward(batch[0], hidden, batch[1], training=True)
            loss = trainer.loss_function(scores, batch[1], valid) / trainer.batch_size
            loss.backward()
            optimizer.step()
            continue
        valid, finished, retained = batch
        with torch.no_grad():
            hidden[0][finished] = 0
        if valid < len(retained):
            hidden[0] = hidden[0][retained]
