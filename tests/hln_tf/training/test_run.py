"""The steps of a run, composed in Python."""

import numpy as np
import pytest
from commands import TINY, only_checkpoint, run, weights

from hln_tf.common.interrupt import StopOnSignal, TrainingInterrupt
from hln_tf.data.layout import SPLITS, VOCABULARY
from hln_tf.data.sessions import read_sessions


def compose(directory, config, data, refit, stop=None):
    """Run the steps of the example in the docstring of `Run`."""
    from hln_tf.training import Run

    train, validation, test = (read_sessions(data, split) for split in SPLITS)
    with directory.locked():
        directory.begin(config, data / VOCABULARY)
        steps = Run(config, directory, **({"stop": stop} if stop else {}))
        fitted = steps.fit(train, validation)
        if refit:
            fitted = steps.refit(train + validation, fitted.results)
        steps.save(fitted, steps.evaluate(fitted.model, test))
    return fitted


def assert_same_results(found, wanted):
    """Check that two runs have the same results up to rounding."""
    # Only `train_and_evaluate` has all parts at once, to count what each lacks.
    assert found.keys() | {"unseen_test_targets"} == wanted.keys() | {"unseen_test_targets"}
    for name in found.keys() & wanted.keys():
        value = wanted[name]
        if name in ("history", "refit_history"):
            assert len(found[name]) == len(value)
            for one, other in zip(found[name], value, strict=True):
                assert one == pytest.approx(other, rel=1e-5)
        elif name in ("validation", "test", "sessions"):
            assert found[name] == pytest.approx(value, rel=1e-5)
        elif name == "timing":
            assert found[name].keys() == value.keys()
        else:
            assert found[name] == value, name


@pytest.fixture(
    scope="module",
    params=[False, pytest.param(True, marks=pytest.mark.slow)],
    ids=["best epoch", "refit"],
)
def command(request, data, tmp_path_factory):
    """The directory of a run by the command."""
    from hln_tf.training import RunDirectory

    path = tmp_path_factory.mktemp("runs") / "command"
    where = ("--dataset", "sample", "--data_dir", data, "--workdir", path)
    more = ("--epochs", "2", "--batch_size", "16", *(("--refit",) if request.param else ()))
    outcome = run("hln_tf.train", *where, *TINY, *more)
    assert outcome.code == 0, outcome.err
    return RunDirectory(path)


def test_the_steps_in_python_do_what_the_command_does(command, data, tmp_path):
    from hln_tf.training import RunDirectory

    config, directory = command.config(), RunDirectory(tmp_path / "steps")
    fitted = compose(directory, config, data, config.training.refit)
    results = directory.metrics()
    assert_same_results(results, command.metrics())
    assert fitted.results["history"] == results["history"]
    found, wanted = (weights(each.path / "model") for each in (directory, command))
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, atol=1e-5, err_msg=name)
    only_checkpoint(directory.path / "model")
    np.testing.assert_array_equal(directory.model().X, fitted.model.X)


def test_a_run_composed_in_python_resumes(command, data, tmp_path, capsys):
    """An exception stops it in the second epoch; the same calls finish it."""
    from hln_tf.training import RunDirectory

    class Stop(StopOnSignal):
        checks = 0

        def check(self):
            self.checks += 1
            if self.checks == 30:
                raise TrainingInterrupt(2)

    config, directory = command.config(), RunDirectory(tmp_path / "steps")
    with pytest.raises(TrainingInterrupt):
        compose(directory, config, data, config.training.refit, Stop())
    assert directory.metrics() is None
    compose(directory, config, data, config.training.refit)
    assert "resuming epoch 2 after step 5" in capsys.readouterr().err
    assert_same_results(directory.metrics(), command.metrics())


def test_a_model_that_counts_takes_the_same_steps(popular, data, tmp_path):
    from hln_tf.training import RunDirectory

    config, directory = RunDirectory(popular.path).config(), RunDirectory(tmp_path / "steps")
    fitted = compose(directory, config, data, refit=False)
    assert_same_results(directory.metrics(), popular.metrics)
    np.testing.assert_array_equal(directory.model().item_counts, fitted.model.item_counts)
