"""Metrics of a trained model: `python -m hln_tf.evaluate --workdir DIR`."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beam_preprocess.read_sessions import LOG_FLAGS, add_log_flags, log_settings, read_sessions
from hln_tf.common import cli, files
from hln_tf.common.errors import SettingError, UsageError
from hln_tf.common.files import Location, as_location
from hln_tf.data.layout import SPLITS, Manifest, check_extra, read_vocabulary
from hln_tf.training.run_directory import RunDirectory, existing_run

if TYPE_CHECKING:
    from hln_tf.data.sessions import Sessions
    from hln_tf.models.base import SessionScorer

KS = "5,10,20"
VALIDATION = "validation"
EXAMPLES = """examples:
  python -m hln_tf.evaluate --workdir runs/yoochoose64/hln --split validation --k 1,20
  python -m hln_tf.evaluate --workdir runs/custom-clicks/hln --input next_week.csv
  python -m hln_tf.evaluate --workdir runs/hln --ensemble runs/markov --ensemble_weight validation

A log of --input is read as that of the training was, unless --spec or flags of its format say
otherwise. Its sessions are evaluated whole: no filter applies, items are matched by their ids, and
a target that the model does not know is a miss. Slices and lists are those of known targets.
"""


def main(arguments: Sequence[str]) -> None:
    """Rank a split's targets and print the metrics, of HLN also each group's retention."""
    flags = parse(arguments)
    ks = _cut_offs(flags.k)
    workdir = RunDirectory(flags.workdir)
    config = workdir.config()
    changes = {"inference_gate": flags.inference_gate} if flags.inference_gate else {}
    if changes and not hasattr(config.model_settings, "inference_gate"):
        raise UsageError(f"--inference_gate does not apply to {config.model}: it has no leap gate")
    if flags.slices_picture:
        cli.require_extra("plots", ["matplotlib"])
    data, settings, data_dir = config.data, None, None
    if flags.input:
        settings = log_settings(flags, data.dataset, data.directory, data.separator, flags.slice_by)
    else:
        has_same_items = flags.data_dir is None or flags.save_ranks
        data_dir = workdir.data_dir(flags.data_dir, has_same_items)
        check_extra(flags.slice_by, Manifest.read(data_dir).extra_columns, str(data_dir))
    cli.import_tensorflow()
    import numpy as np

    from hln_tf.analysis.ranked_examples import examples_table, write_examples
    from hln_tf.analysis.slices import slice_values, slices_markdown, slices_table
    from hln_tf.common.interrupt import StopOnSignal
    from hln_tf.data.prefixes import Prefixes
    from hln_tf.metrics import BeyondAccuracy, means_of_ranks
    from hln_tf.models.ensemble import Ensemble
    from hln_tf.models.hln import HLN
    from hln_tf.training.evaluation import mean_retention, with_unknown
    from hln_tf.training.ranking import rank_examples

    vocabulary = workdir.vocabulary()
    if settings:
        whole = read_sessions(flags.input, settings, vocabulary)
    else:
        assert data_dir is not None
        extra = bool(flags.slice_by or flags.save_ranks)
        whole = read_part(data_dir, flags.split, vocabulary, extra)
    sessions = whole.known()
    max_length, batch_size = config.training.max_length, config.training.evaluation_batch_size
    prefixes = Prefixes.from_sessions(sessions, max_length)
    runs, shares, by_weight = [workdir, *map(RunDirectory, flags.ensemble or [])], [1.0], None
    if flags.ensemble:
        from hln_tf.training import ensembles

        weight = flags.ensemble_weight
        if weight == VALIDATION:
            ensembles.check_validation_unseen(runs)
        models = ensembles.load_models(runs)
        if weight == VALIDATION:
            part = read_part(workdir.data_dir(flags.data_dir, False), "validation", vocabulary)
            of_part = Prefixes.from_sessions(part.known(), max_length)
            with StopOnSignal() as stop:
                by_weight = ensembles.validate_weights(models, of_part, batch_size, stop)
            weight = max(by_weight, key=by_weight.__getitem__)
            best = 100 * by_weight[weight]
            print(f"weight {weight} of the other runs, by MRR@20 on validation: {best:.2f} %")
        weight = 1 - 1 / len(models) if weight is None else weight
        shares = ensembles.shares_of(weight, len(models))
        model: SessionScorer = Ensemble(models, shares=shares)
    else:
        model = workdir.model(**changes)
    counts = model.item_counts.numpy()
    lists = BeyondAccuracy(counts, ks) if flags.beyond_accuracy else None
    with StopOnSignal() as stop:
        ranks, scores = rank_examples(model, prefixes, batch_size, flags.split, stop, lists)
    of_all = with_unknown(model, whole, ranks)
    print(f"{flags.split}: {whole.prefixes} prefixes, {config.data.items} items")
    clicks, targets = int(np.sum(whole.items == 0)), int(np.sum(whole.targets == 0))
    if clicks:
        print(
            f"unknown to the model: {clicks} of {len(whole.items)} clicks; as targets {targets} "
            f"({targets / whole.prefixes:.1%}), which count as misses"
        )
    means = means_of_ranks(of_all, ks)
    for name, value in means.items():
        print(f"{name:13} {100 * value:6.2f} %")
    beyond = lists.results() if lists else {}
    for name, value in beyond.items():
        print(f"{name:13} {value:.6g}")
    if isinstance(model, HLN) and len(prefixes):
        for group, mean in enumerate(mean_retention(model, prefixes, batch_size), start=1):
            print(f"group {group}: mean retention {100 * mean:.2f} %")
    table = examples_table(sessions, prefixes, ranks, scores, counts, vocabulary)
    if flags.slices or flags.slice_by:
        print(f"\n{slices_markdown(table, ks, flags.slice_by)}")
    if flags.slices_picture:
        from hln_tf.analysis.pictures import draw_slices, save

        metric = f"mrr@{max(ks)}"
        title = f"{workdir.path}, {flags.split}"
        figure = draw_slices(slice_values(table, metric, flags.slice_by), metric, title)
        rows = slices_table(table, ks, flags.slice_by)
        for path in save(figure, rows, flags.slices_picture):
            print(f"wrote {path}")
    if flags.output:
        mixed = [
            {"run": str(run.path), "share": share} for run, share in zip(runs, shares, strict=True)
        ]
        sizes = {"examples": whole.prefixes, "unknown_clicks": clicks, "unknown_targets": targets}
        found: dict[str, Any] = {"runs": mixed, flags.split: {**sizes, **means, **beyond}}
        if by_weight:
            found["validation_mrr@20_by_weight"] = by_weight
        files.write_json(flags.output, found)
        print(f"wrote {flags.output}")
    if flags.save_ranks:
        path = workdir.ranks(flags.split)
        write_examples(path, table)
        print(f"wrote {path}")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line.

    Raises:
      UsageError: A flag or value is not allowed, or they contradict each other.
    """
    parser = cli.Parser(prog="python -m hln_tf.evaluate", description=__doc__, epilog=EXAMPLES)
    add = parser.add_argument
    add("--workdir", required=True, type=as_location, help="directory or URL of a finished run")
    text = "prepared data set; its items are matched by their ids (default: that of the training)"
    add("--data_dir", type=as_location, help=text)
    add("--split", choices=SPLITS, help="part of the data set to rank (default: test)")
    text = "leap gate of HLN instead of the one it was trained with"
    add("--inference_gate", choices=("hard", "expected", "sampled"), help=text)
    text = "also load these runs, and rank by the mean of the probabilities of all"
    add("--ensemble", nargs="+", type=existing_run, metavar="RUN", help=text)
    text = f"weight of the runs of --ensemble together, or {VALIDATION}: the one of 0, 0.05 ... 1 "
    text += "that has the best MRR@20 on validation, on which no run may be trained, as by --refit "
    text += "(default: all runs have the same)"
    add("--ensemble_weight", metavar="W", help=text)
    add("--output", type=Path, metavar="JSON", help="also write the metrics as a JSON file")
    add("--k", default=KS, help="cut-offs, joined by commas (default: %(default)s)")
    text = "also divide the examples by popularity, length, repeats and time"
    add("--slices", action="store_true", help=text)
    text = "as --slices, and also by these extra columns of the data set"
    add("--slice_by", nargs="+", metavar="COLUMN", default=[], help=text)
    text = "draw the slices by MRR at the largest cut-off as PATH.png and PATH.svg, with PATH.csv"
    add("--slices_picture", type=Path, metavar="PATH", help=text)
    text = (
        "also print coverage, concentration, popularity and novelty of what is recommended; takes "
        "160 MB for scores at least"
    )
    add("--beyond_accuracy", action="store_true", help=text)
    text = "write a row for each example to ranks-SPLIT.parquet in the workdir"
    add("--save_ranks", action="store_true", help=text)
    add_log_flags(parser)
    flags = parser.parse_args(arguments)
    of_log = [name for name in LOG_FLAGS if name in flags]
    if of_log and not flags.input:
        raise UsageError(f"--{of_log[0]} goes with --input, the log to evaluate on")
    if flags.input and (flags.data_dir or flags.split):
        raise UsageError("--input is evaluated instead of --data_dir and --split: leave these out")
    if flags.ensemble_weight is not None and not flags.ensemble:
        raise UsageError("--ensemble_weight goes with --ensemble, the other runs")
    if flags.ensemble_weight is not None:
        flags.ensemble_weight = _weight(flags.ensemble_weight)
    if flags.ensemble and flags.inference_gate:
        raise UsageError("--inference_gate goes without --ensemble: its runs rank as trained")
    if flags.save_ranks and (flags.input or flags.inference_gate or flags.ensemble):
        other = "--inference_gate" if flags.inference_gate else "--ensemble"
        other = "--input" if flags.input else other
        raise UsageError(
            f"--save_ranks goes without {other}: the file has the ranks of the run itself"
        )
    flags.split = "log" if flags.input else flags.split or "test"
    return flags


def _weight(text: str) -> float | str:
    """Parse a weight from 0 to 1, or the word for the one that validation prefers.

    Raises:
      UsageError: It is neither.
    """
    if text == VALIDATION:
        return text
    try:
        weight = float(text)
    except ValueError:
        weight = float("nan")
    if not 0 <= weight <= 1:
        raise SettingError("ensemble_weight", text, f"{VALIDATION}, or a number from 0 to 1")
    return weight


def read_part(
    data_dir: Location, split: str, vocabulary: Sequence[str], extra: bool = False
) -> "Sessions":
    """Read a part of a data set with the item indices of a model, 0 for unknown items.

    Args:
      data_dir: The data set directory, or its URL.
      split: The part.
      vocabulary: The item ids of the model.
      extra: Whether to read the extra columns of the log, too.
    """
    import numpy as np

    from hln_tf.data.sessions import read_sessions

    sessions = read_sessions(data_dir, split, unknown=True, extra=extra)
    index = {item_id: number for number, item_id in enumerate(vocabulary, start=1)}
    others = read_vocabulary(data_dir, Manifest.read(data_dir))
    mapping = np.array([0, *(index.get(item_id, 0) for item_id in others)], np.int32)
    return dataclasses.replace(sessions, items=mapping[sessions.items])


def _cut_offs(text: str) -> list[int]:
    """Parse cut-offs.

    Raises:
      UsageError: They are no positive integers joined by commas.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and 0 < int(part[:9]) for part in parts):
        raise SettingError("k", text, "positive whole numbers joined by commas, such as 1,5,20")
    return sorted({int(part) for part in parts})


if __name__ == "__main__":
    sys.exit(cli.run(main))
