"""What tuning takes from KerasTuner: its public names, and the behaviour that they rely on."""

import ast
import warnings
from pathlib import Path

import keras_tuner
import pytest
from keras_tuner.engine.trial import Trial
from keras_tuner.src.distribute.oracle_chief import exit_chief

import tuning.oracles
from tuning.bayesian import BayesianOracle
from tuning.hyperband import HyperbandOracle
from tuning.oracle import SearchOracle
from tuning.tuner import TrialTuner, Tuner

SOURCES = sorted(Path(tuning.oracles.__file__).parent.glob("*.py"))


def private_names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            yield node.attr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_nothing_private_is_imported(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in [*names, *(alias.name for alias in node.names)]:
                assert not name.startswith("keras_tuner.src"), f"{path.name} imports {name}"


@pytest.mark.parametrize("cls", [SearchOracle, BayesianOracle, HyperbandOracle, TrialTuner, Tuner])
def test_no_private_member_is_overridden(cls):
    """A name of our own that a new version takes would override its method."""
    theirs = [base for base in cls.__mro__ if base.__module__.startswith("keras_tuner")]
    sources = " ".join(
        Path(__import__("sys").modules[base.__module__].__file__).read_text() for base in theirs
    )
    mine = [base for base in cls.__mro__ if base.__module__.startswith("tuning")]
    names = {name for base in mine for name in vars(base) if name.startswith("_")}
    names -= set(vars(object)) | {"__module__", "__annotations__", "__abstractmethods__"}
    names -= {"_abc_impl", "__static_attributes__", "__firstlineno__", "__orig_bases__"}
    for module in {base.__module__ for base in mine}:
        path = Path(__import__("sys").modules[module].__file__)
        tree = ast.parse(path.read_text("utf-8"))
        names |= {name for name in private_names(tree) if not name.startswith("__")}
    for name in names:
        assert f".{name}" not in sources and f"def {name}(" not in sources, name


class Quadratic(keras_tuner.Tuner):
    """A tuner of KerasTuner's kind, whose second trial fails."""

    def run_trial(self, trial, *args, **kwargs):
        rate = trial.hyperparameters.values["learning_rate"]
        failed = trial.trial_id.endswith("1")
        return {"mrr@20": float("nan") if failed else 1 / (1 + abs(rate - 0.003))}


def test_a_tuner_of_kerastuner_runs_a_search_of_the_oracle(make_plan, capsys):
    """The order of its calls, and NaN for a trial that failed, are what the oracle expects."""
    plan = make_plan(max_trials=3)
    oracle = tuning.oracles.create_oracle(plan)
    tuner = Quadratic(oracle, directory=plan.workdir.parent, project_name=plan.workdir.name)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        tuner.search(verbose=0)
    statuses = [trial.status for trial in oracle.trials.values()]
    assert statuses == ["COMPLETED", "FAILED", "COMPLETED"] and oracle.has_stopped
    assert tuner.remaining_trials == 0
    (best,) = tuner.get_best_hyperparameters()
    scores = {each.score: each for each in oracle.trials.values() if each.score}
    assert best.values == scores[max(scores)].hyperparameters.values
    capsys.readouterr()
    tuner.search_space_summary()
    assert "learning_rate (Float)" in capsys.readouterr().out


def test_a_report_that_is_repeated_is_taken_again(make_plan):
    """After a kill between two calls a trial is reported twice, as if it had not been."""
    oracle = tuning.oracles.create_oracle(make_plan())
    trial = oracle.create_trial("w")
    oracle.update_trial(trial.trial_id, {"mrr@20": 0.1})
    assert not oracle.get_trial(trial.trial_id).metrics.exists("mrr@20"), "else it is not reported"
    oracle.update_trial(trial.trial_id, {"mrr@20": 0.2})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    assert oracle.trials[trial.trial_id].score == 0.2


def test_the_chief_serves_while_there_are_ids_of_tuners(make_plan):
    oracle = tuning.oracles.create_oracle(make_plan())
    oracle.tuner_ids.add("address")
    assert not exit_chief(oracle)
    oracle.tuner_ids.clear()
    assert exit_chief(oracle)


def test_a_message_has_the_values_of_a_trial_without_the_space(make_plan):
    oracle = tuning.oracles.create_oracle(make_plan())
    trial = oracle.create_trial("w")
    received = Trial.from_proto(trial.to_proto())
    assert received.hyperparameters.space == []
    assert plain(received) == plain(trial)


def plain(trial):
    values = trial.hyperparameters.values
    return {name: pytest.approx(v) if isinstance(v, float) else v for name, v in values.items()}
