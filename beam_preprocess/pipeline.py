"""The Beam pipeline: from raw files to data set directories.

Elements are batches of columns, never single clicks:

    ReadLog        raw files                 -> clicks by partition, counts of rows
    GroupSessions  clicks                    -> sessions
    CountItems     sessions                  -> ids of the frequent items
    FilterItems    sessions, ids             -> sessions of frequent items
    SplitByDate    sessions                  -> full train and test
    NumberItems    train and test, ids       -> train and test of item indices
    WriteDataset   train and test of indices -> a directory, for each fraction of train

Global values are combinations of columns from all workers (`beam_preprocess.combiners`) and
reach the next transform as side inputs. Only the vocabulary is ever whole in one worker.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from beam_preprocess.filter_items import CountItems, FilterItems, GroupSessions
from beam_preprocess.number_items import NumberItems, SplitByDate
from beam_preprocess.progress import Progress
from beam_preprocess.read import LogFile
from beam_preprocess.read_log import ReadLog
from beam_preprocess.settings import Settings, Work
from beam_preprocess.write_dataset import Facts, WriteDataset


def build(
    pipeline: beam.Pipeline,
    files: Sequence[LogFile],
    settings: Settings,
    work: Work,
    directories: Mapping[str, str],
    progress: Progress,
) -> None:
    """Add all steps: read the files and fill the directories except for their manifests.

    Args:
      pipeline: The pipeline that gets the steps.
      files: The raw files.
      settings: What to write; `train_fraction` is ignored.
      work: How to divide the work.
      directories: The directory of each fraction of train.
      progress: Counts for the progress line.
    """
    log = pipeline | "ReadLog" >> ReadLog(files, settings, work, progress)
    grouped = log.clicks | "GroupSessions" >> GroupSessions(settings, log.rows, progress)
    items = grouped.sessions | "CountItems" >> CountItems(settings, work.partitions)
    filtered = grouped.sessions | "FilterItems" >> FilterItems(settings, items)
    parts = filtered.sessions | "SplitByDate" >> SplitByDate(settings)
    numbered = parts.sessions | "NumberItems" >> NumberItems(settings, items, progress)
    facts = Facts(
        rows=AsSingleton(log.rows),
        grouped=AsSingleton(grouped.clicks_left, {}),
        filtered=AsSingleton(filtered.clicks_left, {}),
        items=AsSingleton(items),
        span=AsSingleton(parts.span, None),
        indices=AsSingleton(numbered.indices),
        without_index=AsSingleton(numbered.without_index, {}),
    )
    for fraction, directory in directories.items():
        one = dataclasses.replace(settings, train_fraction=fraction)
        _ = numbered.sessions | f"WriteDataset {fraction}" >> WriteDataset(
            directory, one, facts, progress
        )
