"""The Yoochoose protocol in pandas, in one process."""

import sys

import numpy as np
import pandas as pd

from benchmarks.preprocessing_baselines.result import DAY, MIN_ITEM_COUNT, Result
from hln_tf.data.sessions import Sessions


def prepare(log: str) -> Result:
    """Read a log in the Yoochoose format and apply the protocol."""
    clicks = pd.read_csv(log, header=None, names=["session", "time", "item"], usecols=[0, 1, 2])
    times = pd.to_datetime(clicks["time"], format="%Y-%m-%dT%H:%M:%S.%fZ")
    clicks["time"] = times.astype("datetime64[s]").astype(np.int64)
    clicks["date"] = clicks.groupby("session")["time"].transform("last")
    clicks = _of_length(clicks, 2)
    counts = clicks["item"].value_counts()
    clicks = clicks[clicks["item"].map(counts) >= MIN_ITEM_COUNT]
    clicks = _of_length(clicks, 2)
    boundary = clicks["date"].max() - DAY
    clicks = clicks.sort_values(["date", "session"], kind="stable")
    train = clicks[clicks["date"] < boundary]
    test = clicks[clicks["date"] > boundary]
    codes, items = pd.factorize(train["item"])
    train = train.assign(item_index=codes + 1)
    indices = pd.Series(np.arange(1, len(items) + 1), index=items)
    test = test.assign(item_index=test["item"].map(indices)).dropna()
    test = _of_length(test, 2)
    return Result(_sessions(train), _sessions(test), [str(item) for item in items])


def _of_length(clicks: pd.DataFrame, shortest: int) -> pd.DataFrame:
    return clicks[clicks.groupby("session")["item"].transform("size") >= shortest]


def _sessions(clicks: pd.DataFrame) -> Sessions:
    grouped = clicks.groupby("session", sort=False)
    return Sessions(
        items=clicks["item_index"].to_numpy(np.int32),
        offsets=np.concatenate([[0], grouped.size().cumsum().to_numpy()]),
        dates=grouped["date"].first().to_numpy(),
    )


if __name__ == "__main__":
    prepare(sys.argv[1]).write(sys.argv[2])
