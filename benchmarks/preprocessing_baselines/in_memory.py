"""The Yoochoose protocol in memory, in one process: the functions of `hln_tf.data` alone."""

import sys

import pyarrow as pa
from pyarrow import csv

from benchmarks.preprocessing_baselines.result import PROTOCOL, Result
from hln_tf.data.frames import clicks_from_frame
from hln_tf.data.protocol import prepare_sessions

_COLUMNS = ("session", "time", "item", "category")


def prepare(log: str) -> Result:
    """Read a log in the Yoochoose format and apply the protocol."""
    table = csv.read_csv(
        log,
        read_options=csv.ReadOptions(column_names=_COLUMNS),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(_COLUMNS, pa.string()), include_columns=_COLUMNS[:3]
        ),
    )
    clicks = clicks_from_frame(table, session="session", time="time", item="item")
    prepared = prepare_sessions(clicks, PROTOCOL)
    return Result(prepared.train + prepared.validation, prepared.test, prepared.item_ids)


if __name__ == "__main__":
    prepare(sys.argv[1]).write(sys.argv[2])
