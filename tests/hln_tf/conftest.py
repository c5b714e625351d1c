import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from commands import TINY, Outcome, run
from toy import write_dataset

ITEMS = 30


def walks(count, first=0):
    """Return sessions of 2 to 6 items, each a walk around the catalogue in steps of 3 or 6."""
    return [
        [(first + 7 * s + 3 * i * (1 + s % 2)) % ITEMS + 1 for i in range(2 + s % 5)]
        for s in range(count)
    ]


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run."""

    path: Path
    outcome: Outcome
    arguments: tuple

    @property
    def metrics(self):
        return json.loads((self.path / "metrics.json").read_text())


@pytest.fixture(scope="session")
def splits():
    return {"train": walks(120), "validation": walks(30, 3), "test": walks(40, 5)}


@pytest.fixture(scope="session")
def data(tmp_path_factory, splits):
    directory = tmp_path_factory.mktemp("data") / "walks"
    write_dataset(directory, splits, ITEMS)
    return directory


def train(path, data, *more):
    arguments = ("--dataset", "sample", "--data_dir", data, "--workdir", path, *more)
    outcome = run("hln_tf.train", *arguments)
    assert outcome.code == 0, outcome.err
    return Run(path, outcome, arguments)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, data):
    """A run that stops early, with more than a hundred steps in an epoch."""
    return train(
        tmp_path_factory.mktemp("runs") / "trained",
        data,
        *TINY,
        *("--batch_size", "3", "--learning_rate", "0.01", "--clip_norm", "5"),
        *("--decay", "0.3", "--decay_epochs", "2", "--patience", "1", "--epochs", "30"),
    )


@pytest.fixture(scope="session")
def popular(tmp_path_factory, data):
    return train(tmp_path_factory.mktemp("runs") / "popular", data, "--model", "popularity")


@pytest.fixture
def trained_copy(trained, tmp_path):
    """A copy of the trained run, for commands that write to it."""
    return copy_of(trained, tmp_path / "trained")


@pytest.fixture
def popular_copy(popular, tmp_path):
    return copy_of(popular, tmp_path / "popular")


def copy_of(run, path):
    return dataclasses.replace(run, path=shutil.copytree(run.path, path))


@pytest.fixture
def damaged(trained, tmp_path):
    """A copy of the trained run to damage."""
    copy = tmp_path / "damaged"
    shutil.copytree(trained.path, copy)
    return copy
