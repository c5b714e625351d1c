"""Reading of raw logs as sessions in this process, for logs that are evaluated."""

import argparse
import dataclasses
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beam_preprocess.datasets import CUSTOM, DATASETS
from beam_preprocess.formats import LogFormat
from beam_preprocess.inputs import describe_files, expand_inputs
from beam_preprocess.settings import Settings, Work
from beam_preprocess.spec import read_spec
from hln_tf.common.cli import Parser, add_settings, settings_from, with_flags
from hln_tf.common.errors import HlnError
from hln_tf.common.files import as_location, join
from hln_tf.common.settings import declared_fields
from hln_tf.data import stores
from hln_tf.data.layout import MANIFEST, Manifest

if TYPE_CHECKING:
    import pyarrow as pa

    from hln_tf.data.sessions import Sessions

_FORMAT = tuple(field.name for field in declared_fields(LogFormat))
_PROTOCOL = ("session_timeout", "max_malformed")
LOG_FLAGS = ("spec", *_FORMAT, *_PROTOCOL)


def add_log_flags(parser: Parser) -> None:
    """Add the flags of a log that is read and not prepared; their names are `LOG_FLAGS`."""
    text = "raw logs, directories of them or patterns, to evaluate on instead of a data set"
    parser.add_argument("--input", nargs="+", type=as_location, metavar="RAW", help=text)
    text = "format of the logs of --input"
    parser.add_argument("--spec", type=Path, metavar="YAML", default=argparse.SUPPRESS, help=text)
    add_settings(parser, LogFormat, "format of the logs of --input")
    add_settings(parser, Settings, "reading of the logs of --input", only=_PROTOCOL)


def log_settings(
    flags: argparse.Namespace,
    dataset: str,
    data_dir: str,
    separator: str,
    extra_columns: Sequence[str] = (),
) -> Settings:
    """Compose the format of a log: that of a data set's log, with what the flags say.

    Args:
      flags: Parsed flags of `add_log_flags`.
      dataset: Name of the data set.
      data_dir: Its directory, which need not be there any more; or empty.
      separator: Its separator of item ids.
      extra_columns: Further columns of the log to read.

    Raises:
      UsageError: A value is not allowed.
      HlnError: The format is unknown.
    """
    given, base = vars(flags), _recorded(flags, dataset, data_dir)
    recorded = base.get("log") or {}
    if not recorded and not any(name in given for name in _FORMAT):
        raise HlnError(
            f"the format of the training's log is unknown, as its data set is not in "
            f"{data_dir or 'a directory'}: say with --spec how that of --input is written"
        )
    recorded = {n: tuple(v) if isinstance(v, list) else v for n, v in recorded.items()}
    log = settings_from(LogFormat, flags, recorded)
    values = {name: base[name] for name in _PROTOCOL if name in base}
    values |= {name: given[name] for name in _PROTOCOL if name in given}
    values |= {"dataset": CUSTOM, "log": log, "separator": separator}
    return Settings(**values, extra_columns=tuple(extra_columns))


def _recorded(flags: argparse.Namespace, dataset: str, data_dir: str) -> Mapping[str, Any]:
    if "spec" in flags:
        spec = read_spec(flags.spec)
        return {**spec.defaults, "log": dataclasses.asdict(spec.log)}
    if dataset in DATASETS:
        known = DATASETS[dataset]
        return {**known.defaults, "log": dataclasses.asdict(known.log)}
    if data_dir and stores.is_file(join(as_location(data_dir), MANIFEST)):
        return Manifest.read(data_dir).settings
    return {}


def read_sessions(
    inputs: Sequence[str | os.PathLike[str]], settings: Settings, vocabulary: Sequence[str]
) -> "Sessions":
    """Read raw logs as sessions with the item indices of a model; no session is dropped.

    Args:
      inputs: Raw logs.
      settings: The format of the logs, and the largest share of malformed rows.
      vocabulary: The item ids of the model.

    Returns:
      The sessions in order of their first clicks in the logs; item 0 is one that the
      model does not know.

    Raises:
      HlnError: A file cannot be used, too many rows are malformed, or no session has
        two clicks.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from hln_tf.data.protocol import group_clicks, split_at_timeouts
    from hln_tf.data.session_columns import sort_by_date

    clicks = _read_clicks(expand_inputs(inputs), settings)
    settings = dataclasses.replace(settings, order="time")
    positions = clicks["position"].to_numpy()
    grouped, ids = group_clicks(clicks, "session", positions, settings)
    if settings.session_timeout:
        grouped = split_at_timeouts(grouped, settings.session_timeout)
    index = pc.index_in(ids, pa.array(vocabulary, pa.string()))
    mapping = pc.fill_null(index, -1).to_numpy(zero_copy_only=False).astype(np.int32) + 1
    items = mapping[grouped.items]
    sessions = sort_by_date(dataclasses.replace(grouped, items=items, times=None)).finished()
    if sessions.prefixes < 1:
        raise HlnError(
            f"{describe_files(inputs)}: no session has two or more clicks, so there is nothing to "
            f"predict"
        )
    return sessions


def _read_clicks(paths: Sequence[str], settings: Settings) -> "pa.Table":
    """Read the well-formed clicks, in the columns that `beam_preprocess.scan` gives them."""
    logging.disable(logging.WARNING)  # those of Beam while it is imported
    try:
        import pyarrow as pa

        from beam_preprocess.format_detection import open_logs
        from beam_preprocess.read import find_files
        from beam_preprocess.scan import add_row_counts, cut, scan
        from beam_preprocess.stats import check_rows
    finally:
        logging.disable(logging.NOTSET)
    log = open_logs(find_files(paths), settings.log_format)
    work = Work()
    counts, tables = [], []
    for part in cut(log.files, work.block_bytes):
        for of_block, _, clicks in scan(part, settings, work):
            counts.append(of_block)
            if clicks is not None:
                tables.append(clicks)
    rows = check_rows(add_row_counts(counts), log, settings)
    if rows.problem:
        raise HlnError(rows.problem)
    for warning in rows.warnings:
        print(f"warning: {with_flags(warning)}", file=sys.stderr)
    return pa.concat_tables(tables)
