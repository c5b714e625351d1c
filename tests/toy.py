"""A tiny prepared data set, written after the contract of `hln_tf.data.layout`."""

import dataclasses
from pathlib import Path

import numpy as np

from hln_tf.common import files
from hln_tf.data.layout import SPLITS, STATS, VOCABULARY, Manifest, Split


def raw_id(item):
    """The raw id of an item number; no raw id looks like an item number."""
    return f"i{item}"


def write_dataset(
    directory,
    sessions_by_split,
    num_items,
    dataset="sample",
    separator=" ",
    shards=1,
    sessions_per_record=2,
):
    """Writes a finished data set directory.

    Args:
        directory: Where to; made when missing.
        sessions_by_split: Lists of item numbers by split; splits left out are empty.
        num_items: Size of the catalogue; item i has the raw id `raw_id(i)`.
        dataset: Name of the data set.
        separator: Joins item ids in a session.
        shards: Files in each split.
        sessions_per_record: Sessions in a record at most.

    Returns:
        The manifest.
    """
    directory = Path(directory)
    splits, date = {}, 0
    for split in SPLITS:
        sessions = sessions_by_split.get(split, [])
        names = []
        for shard, piece in enumerate(np.array_split(np.arange(len(sessions)), shards)):
            names.append(f"{split}/{shard:05d}-of-{shards:05d}.tfrecord")
            path = directory / names[-1]
            path.parent.mkdir(parents=True, exist_ok=True)
            write_shard(path, [sessions[i] for i in piece], date, sessions_per_record)
            date += len(piece)
        clicks = sum(map(len, sessions))
        splits[split] = Split(tuple(names), len(sessions), clicks, clicks - len(sessions))
    vocabulary = "".join(f"{raw_id(item)}\n" for item in range(1, num_items + 1))
    (directory / VOCABULARY).write_text(vocabulary, "utf-8")
    files.write_json(directory / STATS, {})
    manifest = Manifest(
        dataset=dataset,
        separator=separator,
        items=num_items,
        vocabulary_sha256=files.sha256(directory / VOCABULARY),
        splits=splits,
        settings={},
        inputs=[],
    )
    manifest.write(directory)
    return manifest


def rename_items(directory, manifest, raw_ids):
    """Gives the items of a data set other raw ids."""
    (directory / VOCABULARY).write_text("".join(f"{raw}\n" for raw in raw_ids), "utf-8")
    checksum = files.sha256(directory / VOCABULARY)
    dataclasses.replace(manifest, vocabulary_sha256=checksum).write(directory)


def write_shard(path, sessions, first_date, sessions_per_record):
    """Writes sessions to one file, dated first_date, first_date + 1, ..."""
    import tensorflow as tf

    def column(values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    with tf.io.TFRecordWriter(str(path)) as writer:
        for start in range(0, len(sessions), sessions_per_record):
            record = sessions[start : start + sessions_per_record]
            columns = {
                "lengths": column([len(session) for session in record]),
                "items": column([item for session in record for item in session]),
                "dates": column([first_date + start + i for i in range(len(record))]),
            }
            example = tf.train.Example(features=tf.train.Features(feature=columns))
            writer.write(example.SerializeToString())
