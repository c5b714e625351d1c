import dataclasses
import json
from collections.abc import Collection

import numpy as np
import pytest
from toy import write_dataset

from hln_tf.data.layout import Manifest
from hln_tf.models import HLNSettings
from hln_tf.training import DataDescription, RunConfig, TrainingSettings
from tuning.plan import Plan
from tuning.space import Space


@pytest.fixture(scope="session")
def chains(tmp_path_factory):
    """A data set whose sessions count upwards: the next item is certain."""
    directory = tmp_path_factory.mktemp("chains") / "data"
    random = np.random.default_rng(0)
    sessions = [[int(start + i) % 12 + 1 for i in range(5)] for start in random.integers(0, 12, 60)]
    splits = {"train": sessions[:40], "validation": sessions[40:50], "test": sessions[50:]}
    write_dataset(directory, splits, num_items=12)
    return directory


@pytest.fixture
def make_plan(chains, tmp_path):
    """A function that creates a small search of two hyperparameters."""

    def make(tuner="random", workdir=None, max_trials=4, names=("learning_rate", "aggregation")):
        hyperband = {"max_epochs": 4, "factor": 2, "iterations": 1}
        model = HLNSettings(embedding_dim=4, hidden_dim=4, num_groups=2)
        training = TrainingSettings(epochs=3, decay_epochs=1, patience=10)
        description = DataDescription.from_manifest(Manifest.read(chains), chains)
        return Plan(
            workdir=workdir or tmp_path / "search",
            data_dir=chains,
            base=RunConfig("hln", model, training, description),
            space=Space.from_settings([model, training], names),
            tuner=tuner,
            hyperband=hyperband if tuner == "hyperband" else {},
            max_trials=None if tuner == "hyperband" else max_trials,
        )

    return make


@dataclasses.dataclass
class FakeTraining:
    """Fake training that records its trials; a learning rate near 0.003 has the best score."""

    failing: Collection[int] = ()
    interrupted: Collection[int] = ()
    ran: list = dataclasses.field(default_factory=list)

    def __call__(self, config, run):
        number = int(run.path.name.removeprefix("trial_"))
        self.ran.append(number)
        for directory in (run.checkpoints, run.weights):
            directory.mkdir(exist_ok=True)
            with open(directory / "epochs", "a") as file:
                file.write(f"{number}:{config.training.epochs} ")
        if number in self.interrupted:
            raise KeyboardInterrupt
        if number in self.failing:
            raise ValueError(f"trial {number} is bad")
        return 1 / (1 + abs(np.log(config.training.learning_rate / 0.003)))


@pytest.fixture
def fake_training():
    return FakeTraining


@pytest.fixture
def read_config():
    """A function that reads the configuration of a trial's run."""

    def read(plan, number):
        return json.loads((plan.run_directory(str(number)).path / "config.json").read_text())

    return read
