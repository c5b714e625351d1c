"""The implementations that are compared, and the table of their rates."""

import importlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.others.rounds import Round, UnavailableError, Work
from benchmarks.timing import rate, time_interleaved, time_ratio

HEADER = ("alternative", "this package", "examples/s", "of this package", "times as fast")


class Alternative(NamedTuple):
    """Another implementation, and the model of this package that does the same.

    Attributes:
      label: Its name in the table.
      module: The module of `benchmarks.others` that has it.
      function: Makes its round from the work and `arguments`.
      arguments: The other arguments of the function.
      own: Name of this package's model, and what differs from its preset.
    """

    label: str
    module: str
    function: str
    arguments: tuple[Any, ...]
    own: Mapping[str, Any]


def alternatives(work: Work, gru4rec_path: Path | None) -> list[Alternative]:
    """List the implementations.

    Args:
      work: What is trained on.
      gru4rec_path: A checkout of GRU4Rec's official PyTorch code, or None.
    """
    settings = work.settings
    softmax = {"loss": "softmax", "optimizer": "adam", "learning_rate": 1e-3, "l2": 0.0}
    hln = {
        "name": "hln",
        "hidden_dim": settings.hidden_dim,
        "num_groups": settings.num_groups,
        "learning_rate": 1e-3,
    }
    no_dropout = {"dropout": 0.0, "hidden_dropout": 0.0}
    gru = {"name": "gru4rec", "preset": "modern", "precision": "float32"}
    sampled = {"num_negatives": settings.num_negatives}
    narm = {"name": "narm", "hidden_dim": settings.dim, **no_dropout}
    recbole = ("recbole_models", "recbole_round")
    official = ("gru4rec_official", "official_round", (gru4rec_path,))
    return [
        Alternative("HLN in PyTorch, of the equations", "torch_hln", "hln_round", (), hln),
        Alternative("RecBole GRU4Rec", *recbole, ("gru4rec",), {**gru, **softmax}),
        Alternative("RecBole NARM", *recbole, ("narm",), {**narm, **softmax}),
        Alternative("RecBole SR-GNN", *recbole, ("sr_gnn",), {"name": "sr_gnn", **softmax}),
        Alternative("GRU4Rec, official PyTorch", *official, {**gru, **sampled}),
        Alternative("implicit BPR", "implicit_bpr", "bpr_round", (), {"name": "bpr_mf"}),
    ]


def compare(work: Work, gru4rec_path: Path | None) -> tuple[list[list[str]], list[str]]:
    """Measure all implementations in turn.

    Args:
      work: What is trained on.
      gru4rec_path: As for `alternatives`.

    Returns:
      The rows of the table, and a line for each implementation that is skipped.
    """
    from benchmarks.others.own import own_round

    rounds: dict[str, Round] = {}
    pairs, skipped = [], []
    for each in alternatives(work, gru4rec_path):
        try:
            theirs = _round(each, work)
        except UnavailableError as error:
            skipped.append(f"{each.label} is skipped: {error}")
            continue
        own = f"{each.own['name']}, next to {each.label}"
        rounds |= {each.label: theirs, own: own_round(work, **each.own)}
        pairs.append((each.label, str(each.own["name"]), own))
    clock = time.process_time if work.settings.cpu_time else time.perf_counter
    functions = {name: each.run for name, each in rounds.items()}
    seconds = time_interleaved(functions, work.settings.rounds, "training", clock)
    rows = []
    for label, name, own in pairs:
        per_example = [[s / rounds[each].examples for s in seconds[each]] for each in (label, own)]
        rates = [rate(rounds[each].examples, seconds[each]) for each in (label, own)]
        rows.append([label, name, *rates, time_ratio(*per_example)])
    return rows, skipped


def _round(alternative: Alternative, work: Work) -> Round:
    """Make the round of an alternative.

    Raises:
      UnavailableError: A package, or the checkout, is missing.
    """
    try:
        module = importlib.import_module(f"benchmarks.others.{alternative.module}")
    except ImportError as error:
        raise UnavailableError(f"{error.name or error} cannot be imported") from None
    function: Callable[..., Round] = getattr(module, alternative.function)
    return function(work, *alternative.arguments)
