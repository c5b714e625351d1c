import dataclasses
import json
from collections.abc import Collection

import numpy as np
import pytest
from toy import write_dataset

from hln_tf.data.dataset import SessionDataset
from hln_tf.models import HLNSettings
from hln_tf.training import DataDescription, RunConfig, TrainingSettings
from tuning.choose import choose_space
from tuning.plan import Plan
from tuning.settings import SearchSettings


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

    def make(
        tuner="random",
        workdir=None,
        max_trials=4,
        names=("learning_rate", "aggregation"),
        domains=None,
        datasets=None,
        **settings,
    ):
        if tuner == "hyperband":
            settings = {"max_epochs": 4, "factor": 2, **settings}
        model = HLNSettings(embedding_dim=4, hidden_dim=4, num_groups=2)
        training = TrainingSettings(epochs=3, decay_epochs=1, patience=10)
        datasets = datasets or [SessionDataset.from_directory(chains)]
        return Plan(
            workdir=workdir or tmp_path / "search",
            datasets=datasets,
            base=RunConfig("hln", model, training, DataDescription.from_dataset(datasets[0])),
            space=choose_space([model, training], names, domains),
            settings=SearchSettings(tuner=tuner, max_trials=max_trials, **settings),
        )

    return make


@dataclasses.dataclass
class FakeTraining:
    """Fake training that records its trials; a learning rate near 0.003 has the best score.

    Epoch k of n has k / n of the score, and `should_stop` is asked after each.
    """

    failing: Collection[int] = ()
    interrupted: Collection[int] = ()
    ran: list = dataclasses.field(default_factory=list)

    def __call__(self, config, run, dataset, should_stop):
        (name,) = (part for part in run.path.parts if part.startswith("trial_"))
        number = int(name.removeprefix("trial_"))
        self.ran.append(number)
        for directory in (run.checkpoints, run.weights):
            directory.mkdir(exist_ok=True)
            with open(directory / "epochs", "a") as file:
                file.write(f"{number}:{config.training.epochs} ")
        if number in self.interrupted:
            raise KeyboardInterrupt
        if number in self.failing:
            raise ValueError(f"trial {number} is bad")
        score = 1 / (1 + abs(np.log(config.training.learning_rate / 0.003)))
        history = []
        for epoch in range(1, config.training.epochs + 1):
            history.append({"mrr@20": score * epoch / config.training.epochs})
            if should_stop(history):
                break
        return history[-1]["mrr@20"]


@pytest.fixture
def fake_training():
    return FakeTraining


@pytest.fixture
def read_config():
    """A function that reads the configuration of a trial's run."""

    def read(plan, number):
        return json.loads((plan.trial_directory(str(number)) / "config.json").read_text())

    return read
