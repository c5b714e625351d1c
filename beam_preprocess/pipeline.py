"""The Beam pipeline: from raw files to data set directories.

Elements are batches of columns, never single clicks:

    ReadLog        raw files                 -> clicks by partition, counts of rows
    GroupSessions  clicks                    -> sessions
    CountItems     sessions                  -> ids of the frequent items
    FilterItems    sessions, ids             -> sessions of frequent items
    SplitByDate    sessions                  -> full train and test
    NumberItems    train and test, ids       -> train and test of item indices
    WriteDataset   train and test of indices -> a directory, for each fraction of train and cut date

Global values are combinations of columns from all workers (`beam_preprocess.combiners`) and
reach the next transform as side inputs. Only the vocabulary is ever whole in one worker.
"""

from collections.abc import Mapping

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from beam_preprocess.combiners import AddDoubts
from beam_preprocess.filter_items import CountItems, FilterItems, GroupSessions
from beam_preprocess.number_items import NumberItems, SplitByDate
from beam_preprocess.progress import Progress
from beam_preprocess.read import RawLog
from beam_preprocess.read_log import ReadLog
from beam_preprocess.settings import Settings, Work
from beam_preprocess.write_dataset import Facts, WriteDataset


def build(
    pipeline: beam.Pipeline,
    log: RawLog,
    work: Work,
    directories: Mapping[Settings, str],
    progress: Progress,
) -> None:
    """Add all steps: read the files and fill the directories except for their manifests.

    Args:
      pipeline: The pipeline that gets the steps.
      log: The raw files.
      work: How to divide the work.
      directories: The directory of each of the settings, which differ in
        `train_fraction` or in `test_from` alone.
      progress: Counts for the progress line.
    """
    settings = next(iter(directories))
    content = pipeline | "ReadLog" >> ReadLog(log, settings, work, progress)
    grouped = content.clicks | "GroupSessions" >> GroupSessions(settings, content.rows, progress)
    items = grouped.sessions | "CountItems" >> CountItems(settings, work.partitions)
    filtered = grouped.sessions | "FilterItems" >> FilterItems(settings, items.ids)
    doubts = (
        (grouped.doubts, items.doubts)
        | "Doubts" >> beam.Flatten()
        | "AddDoubts" >> beam.CombineGlobally(AddDoubts())
    )
    for cut in dict.fromkeys(each.test_from for each in directories):
        of_cut = {each: path for each, path in directories.items() if each.test_from == cut}
        one = next(iter(of_cut))
        parts = filtered.sessions | f"SplitByDate {cut}" >> SplitByDate(one)
        numbered = parts.sessions | f"NumberItems {cut}" >> NumberItems(one, items.ids, progress)
        facts = Facts(
            rows=AsSingleton(content.rows),
            grouped=AsSingleton(grouped.clicks_left, {}),
            filtered=AsSingleton(filtered.clicks_left, {}),
            items=AsSingleton(items.ids),
            doubts=AsSingleton(doubts),
            span=AsSingleton(parts.span, None),
            indices=AsSingleton(numbered.indices),
            without_index=AsSingleton(numbered.without_index, {}),
        )
        for each, path in of_cut.items():
            label = f"WriteDataset {cut} {each.train_fraction}"
            _ = numbered.sessions | label >> WriteDataset(path, each, facts, progress)
