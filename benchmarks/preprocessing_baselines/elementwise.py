"""The Yoochoose protocol in Beam, with one element per click."""

import datetime
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsDict, AsList, AsSingleton

from beam_preprocess.runners import chosen_runner
from beam_preprocess.settings import Work
from benchmarks.preprocessing_baselines.result import PROTOCOL, Result
from hln_tf.data.sessions import Sessions

Session = tuple[int, int, list[str]]  # date, id, items


def parse(line: str) -> tuple[int, tuple[str, str]]:
    """Parse a row into `(session, (time, item))`."""
    session, time, item, _ = line.split(",")
    return int(session), (time, item)


def in_order(session: tuple[int, Iterable[tuple[str, str]]]) -> Session:
    """Sort the clicks of `(session, clicks)`, which differ in time, into a session."""
    clicks = sorted(session[1])
    last = datetime.datetime.fromisoformat(clicks[-1][0])
    return int(last.timestamp()), session[0], [item for _, item in clicks]


def frequent(session: Session, counts: dict[str, int]) -> Session:
    """Drop the clicks on rare items."""
    date, number, items = session
    return date, number, [item for item in items if counts[item] >= PROTOCOL.min_item_count]


def has_two(session: Session) -> bool:
    """Check that a session has an item to predict."""
    return len(session[2]) >= 2


def write(once: None, train: list[Session], test: list[Session], directory: str) -> None:
    """Sort both splits, index the items by first appearance, and write the result."""
    indices: dict[str, int] = {}
    train.sort()
    for _, _, items in train:
        for item in items:
            indices.setdefault(item, len(indices) + 1)
    known = [(date, number, [i for i in items if i in indices]) for date, number, items in test]
    test = sorted(filter(has_two, known))
    Result(_columns(train, indices), _columns(test, indices), list(indices)).write(directory)


def _columns(sessions: list[Session], indices: dict[str, int]) -> Sessions:
    def clicks() -> Iterator[int]:
        return (indices[item] for _, _, items in sessions for item in items)

    lengths = [len(items) for _, _, items in sessions]
    return Sessions(
        items=np.fromiter(clicks(), np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
        dates=np.array([date for date, _, _ in sessions], np.int64),
    )


def prepare(log: str, directory: str) -> None:
    """Read a log in the Yoochoose format, apply the protocol and write the result."""
    runner, options = chosen_runner(Work())
    with beam.Pipeline(runner=runner, options=options) as pipeline:
        sessions = (
            pipeline
            | beam.io.ReadFromText(log)
            | beam.Map(parse)
            | beam.GroupByKey()
            | beam.Map(in_order)
            | "two clicks" >> beam.Filter(has_two)
        )
        counts: Any = (
            sessions | beam.FlatMap(lambda session: session[2]) | beam.combiners.Count.PerElement()
        )
        filtered = (
            sessions
            | beam.Map(frequent, AsDict(counts))
            | "two frequent clicks" >> beam.Filter(has_two)
        )
        latest = AsSingleton(
            filtered | beam.Map(lambda session: session[0]) | beam.CombineGlobally(max)
        )
        train = filtered | "train" >> beam.Filter(
            lambda s, last: s[0] < last - PROTOCOL.test_seconds, latest
        )
        test = filtered | "test" >> beam.Filter(
            lambda s, last: s[0] > last - PROTOCOL.test_seconds, latest
        )
        _ = pipeline | beam.Create([None]) | beam.Map(write, AsList(train), AsList(test), directory)


if __name__ == "__main__":
    prepare(sys.argv[1], sys.argv[2])
