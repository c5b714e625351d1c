"""Recall and MRR of a trained model: `python -m hln_tf.evaluate --workdir DIR`."""

import argparse
import dataclasses
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beam_preprocess.datasets import CUSTOM, DATASETS
from beam_preprocess.formats import LogFormat
from beam_preprocess.settings import Settings
from beam_preprocess.spec import read_spec
from hln_tf.common import cli
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.settings import declared_fields
from hln_tf.data.layout import MANIFEST, SPLITS, Manifest, read_vocabulary
from hln_tf.training.run_directory import RunDirectory
from hln_tf.training.settings import DataDescription

if TYPE_CHECKING:
    from hln_tf.data.sessions import Sessions

KS = (5, 10, 20)
EXAMPLES = """examples:
  python -m hln_tf.evaluate --workdir runs/yoochoose64/hln --split validation -k 1 20
  python -m hln_tf.evaluate --workdir runs/custom-clicks/hln --input next_week.csv

A log of --input is read as that of the training was, unless --spec or flags of its format say
otherwise. Its sessions are evaluated whole: no filter applies, items are matched by their ids, and
a target that the model does not know is a miss.
"""
_FORMAT = tuple(field.name for field in declared_fields(LogFormat))
_PROTOCOL = ("session_timeout", "max_malformed")


def main(arguments: Sequence[str]) -> None:
    """Rank targets and print the metrics, of HLN also each group's retention."""
    flags = parse(arguments)
    workdir = RunDirectory(flags.workdir)
    config = workdir.config()
    changes = {"inference_gate": flags.inference_gate} if flags.inference_gate else {}
    if changes and not hasattr(config.model_settings, "inference_gate"):
        raise UsageError(f"--inference_gate does not apply to {config.model}: it has no leap gate")
    settings = log_settings(flags, config.data) if flags.input else None
    data_dir = None
    if settings is None:
        data_dir = workdir.data_dir(flags.data_dir, has_same_items=flags.data_dir is None)
    cli.import_tensorflow()
    import numpy as np

    from hln_tf.common.interrupt import StopOnSignal
    from hln_tf.data.prefixes import Prefixes
    from hln_tf.models.hln import HLN
    from hln_tf.training.evaluation import evaluate_sessions, mean_retention

    vocabulary = workdir.vocabulary()
    if data_dir is not None:
        label, sessions = flags.split, read_part(data_dir, flags.split, vocabulary)
    else:
        assert settings is not None, "there is a log or a data set"
        label, sessions = "log", read_log(flags.input, settings, vocabulary)
    sizes = config.training.max_length, config.training.evaluation_batch_size
    model = workdir.model(**changes)
    rows = np.split(sessions.items, sessions.offsets[1:-1])
    with StopOnSignal() as stop:
        found = evaluate_sessions(model, rows, flags.k, *sizes, label, stop)
    print(f"{label}: {found['examples']} prefixes, {config.data.items} items")
    if found["unknown_clicks"]:
        share = found["unknown_targets"] / found["examples"]
        print(
            f"unknown to the model: {found['unknown_clicks']} of {len(sessions.items)} clicks; as "
            f"targets {found['unknown_targets']} ({share:.1%}), which count as misses"
        )
    for name, value in found.items():
        if "@" in name:
            print(f"{name:10} {100 * value:6.2f} %")
    known = Prefixes.from_sessions(sessions.known(), config.training.max_length)
    if isinstance(model, HLN) and len(known):
        for group, mean in enumerate(mean_retention(model, known, sizes[1]), start=1):
            print(f"group {group}: mean retention {100 * mean:.2f} %")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line.

    Raises:
      UsageError: A flag or value is not allowed, or they contradict each other.
    """
    parser = cli.Parser(prog="python -m hln_tf.evaluate", description=__doc__, epilog=EXAMPLES)
    add = parser.add_argument
    add("--workdir", required=True, type=Path, help="directory of a finished run")
    text = "prepared data set; its items are matched by their ids (default: that of the training)"
    add("--data_dir", type=Path, help=text)
    add("--split", choices=SPLITS, help="part of the data set to rank (default: test)")
    text = "cut-offs of Recall and MRR (default: 5 10 20)"
    add("-k", nargs="+", type=int, default=list(KS), metavar="K", help=text)
    text = "leap gate of HLN instead of the one it was trained with"
    add("--inference_gate", choices=("hard", "expected", "sampled"), help=text)
    text = "raw logs to evaluate on instead of a data set"
    add("--input", nargs="+", type=Path, metavar="RAW", help=text)
    add("--spec", type=Path, metavar="YAML", help="format of the logs of --input")
    cli.add_settings(parser, LogFormat, "format of the logs of --input")
    cli.add_settings(parser, Settings, "reading of the logs of --input", only=_PROTOCOL)
    flags = parser.parse_args(arguments)
    wrong = [k for k in flags.k if k < 1]
    if wrong:
        raise UsageError(f"-k is {wrong[0]}, expected at least 1")
    of_log = ["spec"] if flags.spec else []
    of_log += [name for name in (*_FORMAT, *_PROTOCOL) if name in flags]
    if of_log and not flags.input:
        raise UsageError(f"--{of_log[0]} goes with --input, the log to evaluate on")
    if flags.input and (flags.data_dir or flags.split):
        raise UsageError("--input is evaluated instead of --data_dir and --split: leave these out")
    flags.split = flags.split or "test"
    flags.k = list(dict.fromkeys(flags.k))
    return flags


def log_settings(flags: argparse.Namespace, data: DataDescription) -> Settings:
    """Compose the format of a log: that of the training's, with what the flags say.

    Raises:
      UsageError: A value is not allowed.
      HlnError: The format is unknown.
    """
    base: Mapping[str, Any] = {}
    manifest = Path(data.directory) / MANIFEST
    if flags.spec:
        spec = read_spec(flags.spec)
        base = {**spec.defaults, "log": dataclasses.asdict(spec.log)}
    elif data.dataset in DATASETS:
        known = DATASETS[data.dataset]
        base = {**known.defaults, "log": dataclasses.asdict(known.log)}
    elif data.directory and manifest.is_file():
        base = Manifest.read(data.directory).settings
    given = vars(flags)
    recorded = base.get("log") or {}
    if not recorded and not any(name in given for name in _FORMAT):
        raise HlnError(
            "the format of the training's log is unknown, as its data set is not in "
            f"{data.directory or 'a directory'}: say with --spec how that of --input is written"
        )
    recorded = {n: tuple(v) if isinstance(v, list) else v for n, v in recorded.items()}
    log = cli.settings_from(LogFormat, flags, recorded)
    values = {name: base[name] for name in _PROTOCOL if name in base}
    values |= {name: given[name] for name in _PROTOCOL if name in given}
    return Settings(**{**values, "dataset": CUSTOM, "log": log, "separator": data.separator})


def read_part(data_dir: Path, split: str, vocabulary: Sequence[str]) -> "Sessions":
    """Read a part of a data set with the item indices of a model, 0 for unknown items."""
    import numpy as np

    from hln_tf.data.sessions import read_sessions

    sessions = read_sessions(data_dir, split, unknown=True)
    index = {item_id: number for number, item_id in enumerate(vocabulary, start=1)}
    others = read_vocabulary(data_dir, Manifest.read(data_dir))
    mapping = np.array([0, *(index.get(item_id, 0) for item_id in others)], np.int32)
    return dataclasses.replace(sessions, items=mapping[sessions.items])


def read_log(inputs: Sequence[Path], settings: Settings, vocabulary: Sequence[str]) -> "Sessions":
    """Read raw logs as sessions with the item indices of a model, 0 for unknown items.

    Raises:
      HlnError: A log cannot be used, or there is nothing to predict.
    """
    logging.disable(logging.WARNING)  # those of Beam while it is imported
    try:
        from beam_preprocess.read_clicks import read_clicks
    finally:
        logging.disable(logging.NOTSET)
    from hln_tf.data.sessions import Sessions
    from hln_tf.data.tables import Columns, sessions_of_clicks

    clicks, timeout = read_clicks(inputs, settings), settings.session_timeout
    # A session timeout cuts the clicks of whatever the log names.
    key = {"user": "session"} if timeout else {"session": "session"}
    rows = sessions_of_clicks(clicks, Columns("item", "time", **key), timeout, settings.separator)
    index = {item_id: number for number, item_id in enumerate(vocabulary, start=1)}
    sessions = Sessions.from_lists([[index.get(each, 0) for each in row] for row in rows])
    if sessions.prefixes < 1:
        raise HlnError(
            f"{', '.join(map(str, inputs))}: no session has two or more clicks, so there is "
            f"nothing to predict"
        )
    return sessions


if __name__ == "__main__":
    sys.exit(cli.run(main))
