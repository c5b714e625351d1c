"""`SessionDataset`, from a directory and from tables of clicks."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import toy
from tiny_models import make

from hln_tf.common.errors import HlnError, UsageError
from hln_tf.data.dataset import SessionDataset
from hln_tf.data.frames import clicks_from_frame
from hln_tf.data.layout import SPLITS
from hln_tf.data.protocol import prepare_sessions
from hln_tf.data.protocol_settings import ProtocolSettings

COLUMNS = {"session": "visit", "item": "sku", "time": "at"}
DAY = 86_400
ITEMS = 25


def table(count=60, seed=0):
    """Return a frame of random sessions over four days, whose rows are not in order of time."""
    random = np.random.default_rng(seed)
    rows = [
        (visit, f"i{item}", int(4 * DAY * visit / count) + 10 * click)
        for visit in range(count)
        for click, item in enumerate(random.integers(1, 9, random.integers(2, 8)))
    ]
    return pd.DataFrame(rows, columns=["visit", "sku", "at"]).sample(frac=1, random_state=1)


def random_sessions(count, longest=12):
    random = np.random.default_rng(3)
    return [
        random.integers(1, ITEMS + 1, random.integers(1, longest)).tolist() for _ in range(count)
    ]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A data set of several files, whose examples fill several of the pools that are streamed."""
    path = tmp_path_factory.mktemp("data") / "toy"
    splits = {"train": random_sessions(120), "validation": random_sessions(10)}
    toy.write_dataset(path, splits, ITEMS, shards=3, sessions_per_record=5)
    return path


@pytest.fixture
def dataset(directory):
    return SessionDataset.from_directory(directory)


def pairs(dataset, *arguments, **options):
    """Return examples in their order, as prefixes without padding and targets."""
    return [
        (tuple(items[items > 0].tolist()), int(target))
        for batch in dataset.examples(*arguments, **options).as_numpy_iterator()
        for items, target in zip(batch["items"], batch["target"], strict=True)
    ]


def expected_pairs(sessions, max_length=50):
    return sorted(
        (tuple(session[max(0, end - max_length) : end]), session[end])
        for session in sessions
        for end in range(1, len(session))
    )


def parts(dataset):
    return {
        part: [
            (date, items.tolist())
            for date, items in zip(
                sessions.dates.tolist(),
                np.split(sessions.items, sessions.offsets[1:-1]) if len(sessions) else [],
                strict=True,
            )
        ]
        for part, sessions in ((part, dataset.split(part)) for part in SPLITS)
    }


def test_a_directory_is_opened(dataset, directory):
    assert dataset.directory == directory
    assert dataset.item_ids == [toy.raw_id(item) for item in range(1, ITEMS + 1)]
    assert (dataset.num_items, dataset.separator, dataset.name) == (ITEMS, " ", "sample")
    assert len(dataset.split("train")) == 120
    assert len(dataset.split("test")) == 0
    assert SessionDataset.from_directory(str(directory)).fingerprint == dataset.fingerprint
    with pytest.raises(HlnError, match="beam_preprocess"):
        SessionDataset.from_directory(directory / "train")


@pytest.mark.parametrize("test_seconds", [DAY, 2 * DAY, 0])
def test_clicks_become_the_sessions_of_the_protocol(test_seconds):
    frame = table()
    settings = {"min_item_count": 2, "validation_fraction": "1/5"}
    data = SessionDataset.from_clicks(frame, **COLUMNS, test_seconds=test_seconds, **settings)
    has_test = test_seconds > 0
    protocol = ProtocolSettings(order="time", **settings, test_seconds=test_seconds or 1)
    prepared = prepare_sessions(clicks_from_frame(frame, **COLUMNS), protocol, has_test)
    expected = SessionDataset(
        "", [], "", "", None, {part: getattr(prepared, part) for part in SPLITS}
    )
    assert parts(data) == parts(expected)
    assert data.item_ids == prepared.item_ids
    assert (len(data.split("test")) > 0) == has_test


@pytest.mark.parametrize("convert", [pa.Table.from_pandas, lambda frame: frame.reset_index()])
def test_tables_of_other_kinds_give_an_equal_data_set(convert):
    one, other = (
        SessionDataset.from_clicks(frame, **COLUMNS) for frame in (table(), convert(table()))
    )
    assert parts(one) == parts(other)
    assert (one.item_ids, one.fingerprint) == (other.item_ids, other.fingerprint)
    assert one.fingerprint != SessionDataset.from_clicks(table(seed=5), **COLUMNS).fingerprint


def test_clicks_of_users_are_cut_at_the_session_timeout():
    rows = [("u", "a", 0), ("u", "b", 9), ("u", "a", 20), ("u", "b", 25), ("v", "b", 2)]
    frame = pd.DataFrame([*rows, ("v", "a", 3)], columns=["visitor", "sku", "at"])
    columns = {"user": "visitor", "item": "sku", "time": "at"}
    rules = {"min_item_count": 1, "test_seconds": 0, "validation_fraction": "0"}
    data = SessionDataset.from_clicks(frame, **columns, **rules, session_timeout=10)
    assert parts(data)["train"] == [(3, [1, 2]), (9, [2, 1]), (25, [2, 1])]
    with pytest.raises(UsageError, match=r"^`session_timeout` is 0, .* users") as caught:
        SessionDataset.from_clicks(frame, **columns, **rules)
    assert "--" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_items": 3}, "unknown setting 'min_items'; known are: .*min_item_count"),
        ({"min_item_count": 0}, "`min_item_count` is 0, expected at least 1"),
        ({"validation_fraction": "2"}, "`validation_fraction` is 2.0, expected .* less than 1"),
        ({"train_fraction": "0"}, "`train_fraction` is 0.0, expected more than 0"),
        ({"train_fraction": "x"}, "`train_fraction` is 'x', expected a fraction"),
        ({"test_from": "May"}, "`test_from` is 'May', expected a day"),
        ({"max_session_length": 1}, "`max_session_length` is 1, expected .*`min_session_length`"),
        ({"order": "random"}, "`order` is 'random', expected one of: file, time"),
        ({"min_item_count": 10_000}, "no session of the input is left .* `min_item_count`"),
        ({"test_seconds": 100 * DAY}, "the train part is empty .* `test_seconds`"),
        ({"test_from": "2030-01-01"}, "the test part is empty .* `test_seconds`"),
        ({"separator": "i"}, "contains the separator 'i'"),
    ],
)
def test_errors_name_the_arguments(settings, message):
    with pytest.raises(HlnError, match=message) as caught:
        SessionDataset.from_clicks(table(), **COLUMNS, **settings)
    assert "--" not in str(caught.value)


def test_a_part_must_exist(dataset):
    for call in (dataset.split, lambda part: dataset.examples(part=part)):
        with pytest.raises(UsageError, match="'dev', expected one of: train, validation, test"):
            call("dev")
    with pytest.raises(UsageError, match="'dev', expected one of: train, validation, test"):
        dataset.examples(part="dev", streamed=True)


@pytest.mark.parametrize("name", ["batch_size", "max_length"])
def test_sizes_are_at_least_one(dataset, name):
    with pytest.raises(UsageError, match=f"`{name}` is 0, expected at least 1"):
        dataset.examples(**{name: 0})


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("max_length", [50, 3])
def test_examples_are_all_prefixes_with_their_targets(dataset, streamed, max_length):
    options = {"max_length": max_length, "streamed": streamed}
    expected = expected_pairs(random_sessions(120), max_length)
    assert sorted(pairs(dataset, 4, **options)) == expected
    assert sorted(pairs(dataset, 4, shuffle=False, **options)) == expected
    assert sorted(pairs(dataset, 1_000, **options)) == expected
    assert pairs(dataset, part="test", **options) == []


def test_batches_are_of_like_lengths_and_padded_at_the_end(dataset):
    batches = list(dataset.examples(16).as_numpy_iterator())
    assert {batch["items"].dtype for batch in batches} == {np.dtype(np.int32)}
    assert {len(batch["target"]) for batch in batches[:-1]} == {16}
    for batch in batches:
        is_click = batch["items"] > 0
        assert is_click.any(axis=0).all()
        assert (np.diff(is_click.astype(int), axis=1) <= 0).all()
    spread = [np.ptp((batch["items"] > 0).sum(axis=1)) for batch in batches[:-1]]
    assert np.mean(spread) < 2


def test_only_train_is_shuffled_by_default(dataset):
    lengths = [len(prefix) for prefix, _ in pairs(dataset, 4, "validation")]
    assert lengths == sorted(lengths)
    assert pairs(dataset, 4, "validation") == pairs(dataset, 4, "validation", shuffle=False)
    assert pairs(dataset, 4) == pairs(dataset, 4, shuffle=True)
    assert pairs(dataset, 4) != pairs(dataset, 4, shuffle=False)
    assert pairs(dataset, 4, "validation", shuffle=True) != pairs(dataset, 4, "validation")


@pytest.mark.parametrize("streamed", [False, True])
def test_seeds_fix_the_orders_and_each_epoch_has_another(dataset, streamed):
    def epochs(seed):
        examples = dataset.examples(4, seed=seed, streamed=streamed)
        return [
            [batch["target"].tolist() for batch in examples.as_numpy_iterator()] for _ in range(2)
        ]

    first, second = epochs(1)
    assert first != second
    assert sorted(np.concatenate(first)) == sorted(np.concatenate(second))
    assert epochs(1) == [first, second]
    assert epochs(2)[0] not in (first, second)


def test_the_number_of_batches_is_known_but_for_files(dataset):
    for size in (4, 7, 1_000):
        batches = len(list(dataset.examples(size)))
        assert int(dataset.examples(size).cardinality()) == batches
    assert int(dataset.examples(part="test").cardinality()) == 0
    assert int(dataset.examples(streamed=True).cardinality()) == -2  # unknown


def test_streaming_does_not_load_the_sessions(dataset):
    assert len(list(dataset.examples(4, streamed=True))) > 10
    assert dataset.in_memory == {}
    data = SessionDataset.from_clicks(table(), **COLUMNS)
    with pytest.raises(UsageError, match="`streamed` needs a data set directory"):
        data.examples(streamed=True)


@pytest.mark.slow
def test_streamed_examples_have_the_same_metrics(dataset):
    model = make("hln", seed=1)
    model.compile()
    metrics, streamed = (
        model.evaluate(dataset.examples(8, "train", streamed=streamed), verbose=0, return_dict=True)
        for streamed in (False, True)
    )
    assert metrics["mrr@20"] > 0
    assert streamed == pytest.approx(metrics, rel=1e-5)


def test_items_of_another_catalogue_come_first():
    data = SessionDataset.from_clicks(table(), **COLUMNS)
    ids = ["new", data.item_ids[2], "other", data.item_ids[0]]
    merged = data.with_items(ids)
    assert list(merged.item_ids[:4]) == ids
    assert sorted(merged.item_ids[4:]) == sorted(set(data.item_ids) - set(ids))
    assert merged.fingerprint != data.fingerprint

    def named(dataset):
        return {
            part: [(date, [dataset.item_ids[i - 1] for i in items]) for date, items in sessions]
            for part, sessions in parts(dataset).items()
        }

    assert named(merged) == named(data)
    assert parts(merged) != parts(data)


@pytest.mark.parametrize("streamed", [False, True])
def test_examples_are_not_tuned(dataset, streamed):
    """At the end of an epoch Keras would wait for the tuner's thread, which sleeps."""
    assert dataset.examples(streamed=streamed).options().autotune.enabled is False
