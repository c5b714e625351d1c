import json

import numpy as np
import pytest
from toy import write_dataset

from hln_tf import cli
from tuning.search import main


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    root = tmp_path_factory.mktemp("search")
    random = np.random.default_rng(0)
    chains = [[int(start + i) % 12 + 1 for i in range(5)] for start in random.integers(0, 12, 60)]
    write_dataset(
        root / "data",
        {"train": chains[:40], "validation": chains[40:50], "test": chains[50:]},
        num_items=12,
    )
    arguments = ["--dataset", "sample", "--data_dir", str(root / "data")]
    arguments += ["--workdir", str(root / "search"), "--max_trials", "2", "--epochs", "1"]
    arguments += ["--embedding_dim", "4", "--hidden_dim", "4"]
    assert cli.run(main, arguments) == 0
    return root / "search", arguments


def test_every_trial_is_a_run_judged_by_validation_alone(searched):
    workdir, _ = searched
    runs = sorted(workdir.glob("trial_*"))
    assert len(runs) == 2
    assert all((run / "selection" / "best" / "checkpoint").is_file() for run in runs)
    assert not list(workdir.rglob("metrics.json")), "only a finished run is tested"
    configs = [json.loads((run / "config.json").read_text()) for run in runs]
    assert all(config["model_settings"]["embedding_dim"] == 4 for config in configs)
    rates = {config["training"]["learning_rate"] for config in configs}
    assert len(rates) == 2 and 0.001 in rates, "one trial takes the preset as it is"


def test_a_finished_search_only_prints_its_table(searched, capsys):
    workdir, arguments = searched
    before = {path: path.stat().st_mtime_ns for path in workdir.glob("trial_*/selection/*/*")}
    assert cli.run(main, arguments) == 0
    assert before == {p: p.stat().st_mtime_ns for p in workdir.glob("trial_*/selection/*/*")}
    *_, table = capsys.readouterr().out.partition("validation MRR@20")
    *trials, command = table.strip().split("\n")[1:]
    assert len(trials) == 2
    assert float(trials[0].split()[0]) >= float(trials[1].split()[0]), "best first"
    assert "--epochs=1" in command and "--embedding_dim=4" in command


def test_a_search_with_other_settings_in_the_same_workdir_is_refused(searched, capsys):
    _, arguments = searched
    assert cli.run(main, [*arguments, "--seed", "2"]) == 1
    assert "training.seed = 1, not 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--max_trials", "0"], "--max_trials is 0"),
        (["--width", "3"], "--width"),
        (["--model", "markov"], "no settings to search"),
        (["--init_from", "older"], "--init_from"),
    ],
)
def test_bad_flags(extra, said, capsys):
    assert cli.run(main, ["--dataset", "sample", *extra]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and error.count("\n") == 1
