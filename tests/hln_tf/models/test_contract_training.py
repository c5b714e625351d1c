"""The contract of all registered models in training; see `test_contract`."""

import dataclasses
import functools
import signal
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import toy

from beam_preprocess.sample.generator import LogSettings, draw_log
from beam_preprocess.sample.process import ProcessSettings, draw_process
from hln_tf.common.interrupt import StopOnSignal, TrainingInterrupt
from hln_tf.data.layout import VOCABULARY, Manifest
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import read_split
from hln_tf.models.registry import MODELS
from hln_tf.training.evaluation import evaluate
from hln_tf.training.run import Fitted, Run
from hln_tf.training.run_config import DataDescription, RunConfig
from hln_tf.training.run_directory import RunDirectory
from hln_tf.training.settings import TrainingSettings

NUM_ITEMS = 40
LONGEST = 20
EPOCHS = 3
# The quick tests leave these out.
SLOW = ("sasrec", "niser")


def each(names):
    return [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in names]


ENCODERS = each(name for name, entry in MODELS.items() if entry.is_encoder)

# As much of it as a model has.
SMALL = {"embedding_dim": 16, "hidden_dim": 16, "num_groups": 2, "leap_bias": -2.0}


class Finished(NamedTuple):
    workdir: RunDirectory
    fitted: Fitted


class StopAfter(StopOnSignal):
    """Stops after so many steps, as a signal would."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def check(self):
        self.left -= 1
        if self.left == 0:
            raise TrainingInterrupt(signal.SIGTERM)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A log of the sample's process whose groups are cycles of four items.

    So sessions come back to items, without which S-POP, to which a session's own items are the
    likeliest, could only be worse than popularity.
    """
    process = draw_process(ProcessSettings(items=NUM_ITEMS, groups=20, group_items=4))
    settings = LogSettings(sessions=400, max_length=LONGEST, length_decay=1.0)
    log = draw_log(process, settings, seed=1)
    sessions = [part.tolist() for part in np.split(log.items + 1, np.cumsum(log.lengths)[:-1])]
    directory = tmp_path_factory.mktemp("sample")
    splits = {"train": sessions[:280], "validation": sessions[280:320], "test": sessions[320:]}
    toy.write_dataset(directory, splits, NUM_ITEMS)
    return directory


def config_of(name, data_dir):
    """Settings that learn much in little time, with the loss of the model's first preset."""
    entry = MODELS[name]
    own = {field.name for field in dataclasses.fields(entry.settings)}
    return RunConfig(
        model=name,
        model_settings=entry.settings(**{key: SMALL[key] for key in SMALL if key in own}),
        training=TrainingSettings(
            loss=next(iter(entry.presets.values())).get("loss", "softmax"),
            num_negatives=NUM_ITEMS,
            learning_rate=0.02,
            decay=1.0,
            batch_size=128,
            epochs=EPOCHS,
            max_length=LONGEST,
        ),
        data=DataDescription.from_manifest(Manifest.read(data_dir), data_dir),
    )


def fit(config, workdir, data_dir, stop):
    with workdir.locked():
        workdir.begin(config, data_dir / VOCABULARY)
        splits = (read_split(data_dir, split) for split in ("train", "validation"))
        return Run(config, workdir, stop=stop).fit(*splits)


@pytest.fixture(scope="module")
def finished(data_dir, tmp_path_factory):
    """By model name, on first use: a finished run on the log."""

    @functools.cache
    def run(name):
        workdir = RunDirectory(tmp_path_factory.mktemp(name))
        fitted = fit(config_of(name, data_dir), workdir, data_dir, StopOnSignal())
        workdir.weights_of(fitted.model).save()
        workdir.finish({})
        return Finished(workdir, fitted)

    return run


@pytest.fixture(scope="module")
def mrr(data_dir, finished):
    """By model name: MRR@20 on the test split."""
    test = Prefixes.from_sessions(read_split(data_dir, "test"), LONGEST)
    return functools.cache(
        lambda name: evaluate(finished(name).fitted.model, test, 512, "test", StopOnSignal())[
            "mrr@20"
        ]
    )


@pytest.mark.parametrize("name", each(name for name in MODELS if name != "popularity"))
def test_ranks_better_than_popularity(mrr, name):
    assert mrr(name) > 1.2 * mrr("popularity")


@pytest.mark.parametrize("name", each(MODELS))
def test_scores_sessions_shorter_and_longer_than_those_of_training(finished, name):
    random = np.random.default_rng(0)
    items = np.zeros((6, 3 * LONGEST), np.int32)
    items[:3, 0] = [1, 2, NUM_ITEMS]
    items[3:] = random.integers(1, NUM_ITEMS + 1, (3, 3 * LONGEST))
    scores = finished(name).fitted.model.scores(tf.constant(items)).numpy()
    assert scores.shape == (6, NUM_ITEMS)
    assert np.all(np.isfinite(scores))
    assert np.all(np.ptp(scores, axis=1) > 0)


# `test_resume` compares HLN's bit for bit, over processes that are killed.
@pytest.mark.parametrize(
    "name",
    ["gru4rec", *(pytest.param(n, marks=pytest.mark.slow) for n in ("csrm", "sasrec", "niser"))],
)
def test_stopped_and_resumed_equals_uninterrupted(data_dir, finished, tmp_path, name):
    config, workdir = config_of(name, data_dir), RunDirectory(tmp_path)
    steps = Prefixes.from_sessions(read_split(data_dir, "train"), LONGEST).steps(
        config.training.batch_size
    )
    with pytest.raises(TrainingInterrupt):
        fit(config, workdir, data_dir, StopAfter(steps + steps // 2))
    resumed, expected = fit(config, workdir, data_dir, StopOnSignal()), finished(name).fitted
    histories = [fitted.results["history"] for fitted in (resumed, expected)]
    assert len(histories[0]) == EPOCHS
    for found, wanted in zip(*histories, strict=True):
        assert found == pytest.approx(wanted, rel=1e-3)
    for weight, wanted in zip(resumed.model.weights, expected.model.weights, strict=True):
        np.testing.assert_allclose(weight, wanted, atol=1e-3, err_msg=weight.name)


@pytest.fixture(scope="module")
def newer(data_dir, tmp_path_factory):
    """The log again, but of the items i11 ... i50, in another order."""
    directory = tmp_path_factory.mktemp("newer")
    manifest = toy.write_dataset(directory, {"train": [[1, 2]]}, NUM_ITEMS)
    toy.rename_items(directory, manifest, [toy.raw_id(item) for item in range(50, 10, -1)])
    return directory


@pytest.mark.parametrize("name", ENCODERS)
def test_an_older_models_item_tables_follow_the_item_ids(finished, newer, tmp_path, name):
    older, old = finished(name).workdir, finished(name).fitted.model
    config = dataclasses.replace(
        config_of(name, newer), data=DataDescription.from_manifest(Manifest.read(newer), newer)
    )
    config = dataclasses.replace(config, init_from=str(older.path))
    workdir = RunDirectory(tmp_path)
    with workdir.locked():
        workdir.begin(config, newer / VOCABULARY)
    model = Run(config, workdir).new_model(read_split(newer, "train"))
    assert len(model.item_tables) == {"fpmc": 2, "gru4rec": 2}.get(name, 1)
    for weight, old_weight in zip(model.trainable_variables, old.trainable_variables, strict=True):
        if weight.ref() not in model.item_tables:
            np.testing.assert_array_equal(weight, old_weight)
            continue
        # Row r is item i(50 - r) now, and was row 49 - r.
        np.testing.assert_array_equal(weight[10:], old_weight[10:][::-1])
        distances = np.abs(weight[:10][:, None] - old_weight[None]).max(axis=2)
        assert distances.min() > 1e-4
