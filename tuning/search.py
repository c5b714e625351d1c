"""Search hyperparameters by validation MRR@20: `python -m tuning.search --dataset sample`.

KerasTuner runs the trials, which are points of the search space that the settings declare.
The first trial has the settings that the flags give. A search that was
interrupted resumes when it is started again with the same flags.

In Python the module is called: `tuning.search(dataset, max_trials=20)`, see
`help(tuning.search.search)`.
"""

import argparse
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beam_preprocess import on_demand
from beam_preprocess.on_demand import Preparation
from hln_tf.common import cli
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.files import as_location, join
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.common.settings import declared_fields
from hln_tf.data import stores
from hln_tf.data.dataset import SessionDataset
from hln_tf.data.layout import MANIFEST
from hln_tf.training import Cluster, DataDescription, RunConfig, TensorBoardSettings, parse
from tuning.choose import choose_space
from tuning.domains import read_domains
from tuning.notebook import check_searchable, search
from tuning.plan import Plan
from tuning.settings import SearchSettings, fixed_settings, search_settings
from tuning.workers import Role, WorkerMonitor, heartbeat, serve_oracle

if TYPE_CHECKING:
    from tuning.oracle import SearchOracle

EXAMPLES = """examples:
  python -m tuning.search --dataset sample --preset demo --max_trials 20
  python -m tuning.search --dataset yoochoose64 --tuner hyperband --max_epochs 9
  python -m tuning.search --dataset sample --search learning_rate,dropout --range dropout=0:0.3
  python -m tuning.search --dataset sample --range loss=softmax,sampled --range clip_norm=0.5:5:log

Several processes share a search if the environment of each has KERASTUNER_ORACLE_IP and
KERASTUNER_ORACLE_PORT, the chief's address, and KERASTUNER_TUNER_ID, its own name: chief for the
one that chooses the trials and trains none, other names for the workers. Start the same command in
each; they share the data set and the workdir.
"""


def add_flags(parser: cli.Parser) -> None:
    """Add the search's own flags."""
    cli.add_settings(parser, SearchSettings, "search algorithm")
    add = parser.add_argument_group("search").add_argument
    text = "hyperparameters to search (default: those that declare it, and those of --range)"
    add("--search", metavar="NAME,NAME", help=text)
    text = "range or values of a hyperparameter instead of the declared ones; may be repeated"
    domains = "NAME=LOW:HIGH|LOW:HIGH:log|VALUE,VALUE"
    add("--range", action="append", default=[], metavar=domains, help=text)
    text = "more prepared data sets: the score is the geometric mean of the validation MRR@20"
    add("--more_data_dirs", nargs="+", type=as_location, metavar="DIR", default=[], help=text)
    text = "timeout in seconds of a worker's heartbeats and of the chief's answers "
    add("--worker_timeout", type=float, default=300.0, help=f"{text}(default: %(default)g)")
    cli.add_settings(parser, TensorBoardSettings, "TensorBoard, for each trial")
    on_demand.add_flags(parser)


def read_flags(arguments: Sequence[str]) -> tuple[argparse.Namespace, Any, Any]:
    """Parse the command line and check all that does not depend on the data.

    Args:
      arguments: The arguments after the program's name.

    Returns:
      The parsed flags with the `Space` as `space` and the search's settings as
      `settings`, the model's settings and the training's settings.

    Raises:
      UsageError: A flag or value is not allowed, or they contradict each other.
    """
    flags, model_settings, training = parse(
        arguments, "python -m tuning.search", __doc__, epilog=EXAMPLES, add_more=add_flags
    )
    if flags.init_from:
        raise UsageError("--init_from does not apply to a search: leave it out")
    if flags.selection:
        raise UsageError("--selection does not apply to a search: leave it out")
    if Cluster.from_environment().is_several:
        raise UsageError(
            "TF_CONFIG names several workers of one training, but each trial of a search trains "
            "in one process: unset it"
        )
    if not flags.worker_timeout > 0:
        raise UsageError(f"--worker_timeout is {flags.worker_timeout:g}, expected more than 0")
    names = [field.name for field in declared_fields(SearchSettings)]
    given = {name: getattr(flags, name) for name in names if hasattr(flags, name)}
    flags.settings = search_settings(given, training.epochs)
    searched = check_searchable(flags.model, model_settings, training, flags.settings)
    fixed = fixed_settings(flags.settings)
    for name in fixed:
        if hasattr(flags, name):
            raise UsageError(f"--{name} does not apply to --tuner hyperband: give --max_epochs")
    chosen = None if flags.search is None else [name.strip() for name in flags.search.split(",")]
    flags.space = choose_space(searched, chosen, read_domains(flags.range), fixed)
    return flags, model_settings, training


def main(arguments: Sequence[str]) -> None:
    """Run a search, or a worker of one, and report its results."""
    flags, model_settings, training = read_flags(arguments)
    role = Role.from_environment()
    preparation = Preparation.from_flags(flags)
    data_dir = preparation.data_dir
    if role.is_worker and not stores.is_file(join(data_dir, MANIFEST)):
        raise HlnError(
            f"{data_dir} is not a prepared data set: the workers of a search do not prepare one, "
            f"start the chief first, or write it with python -m beam_preprocess"
        )
    preparation.ensure()
    directories = [data_dir, *flags.more_data_dirs]
    datasets = [SessionDataset.from_directory(each) for each in directories]
    description = DataDescription.from_dataset(datasets[0])
    plan = Plan(
        workdir=flags.workdir or Path("runs") / preparation.name / "search",
        datasets=datasets,
        base=RunConfig(flags.model, model_settings, training, description),
        space=flags.space,
        settings=flags.settings,
    )
    tensorboard = cli.settings_from(TensorBoardSettings, flags)
    if role.is_worker:
        run_worker(plan, role, flags.worker_timeout, tensorboard)
        return
    with plan.locked():
        cli.import_tensorflow()
        if role.is_chief:
            run_chief(plan, role, flags.worker_timeout)
            return
    run_alone(plan, tensorboard)


def run_alone(plan: Plan, tensorboard: TensorBoardSettings) -> None:
    """Search in this process, and write and print the results.

    Args:
      plan: The search.
      tensorboard: TensorBoard settings of each trial.
    """
    from tuning.training import trainer
    from tuning.tuner import Tuner

    stop = StopOnSignal()
    tuner = Tuner(plan, trainer(plan, stop, tensorboard), stop)
    tuner.search()
    report(tuner.oracle)


def run_chief(plan: Plan, role: Role, timeout: float) -> None:
    """Serve the oracle of a search to its workers, and write and print the results.

    Args:
      plan: The search, whose directory is locked.
      role: Role of this process.
      timeout: Seconds without a heartbeat after which a worker is lost.
    """
    from tuning.oracles import create_oracle
    from tuning.results import Results, print_progress
    from tuning.tuner import TrialTuner

    oracle = create_oracle(plan, lambda trial: print_progress(oracle, trial))
    if not oracle.is_complete:
        with StopOnSignal() as stop:
            monitor = WorkerMonitor(oracle, plan.heartbeats, timeout)
            tuner = TrialTuner(plan, oracle, None, stop)
            serve_oracle(tuner, monitor, role.address, stop.check)
    Results.from_oracle(oracle).write()
    report(oracle)


def run_worker(plan: Plan, role: Role, timeout: float, tensorboard: TensorBoardSettings) -> None:
    """Run trials for a chief until no trial is left.

    Args:
      plan: The search.
      role: Role of this process.
      timeout: Seconds to wait for the chief.
      tensorboard: TensorBoard settings of each trial.
    """
    cli.import_tensorflow()
    from tuning.chief import Chief, run_until_ended
    from tuning.oracles import create_oracle
    from tuning.training import trainer
    from tuning.tuner import TrialTuner

    with StopOnSignal() as stop:
        chief = Chief(role.address, timeout)
        train = trainer(plan, stop, tensorboard)
        tuner = TrialTuner(plan, create_oracle(plan), train, stop, chief)
        tuner.await_chief()  # It serves its oracle once it has written search.json.
        plan.check_same()
        with heartbeat(plan.heartbeats, role.name):
            run_until_ended(tuner)
    print(f"the search in {plan.workdir} has ended; the chief reports the results")


def report(oracle: "SearchOracle") -> None:
    """Print the results of a search that has ended."""
    from tuning.results import Results

    if len(oracle.trials) < oracle.max_trials:
        trials = f"{len(oracle.trials)} of {oracle.max_trials} trials"
        print(f"ended after {trials}: no new point or promotion is left", file=sys.stderr)
    print(Results.from_oracle(oracle).describe())


class _Function(types.ModuleType):
    """The module as the function that notebooks call."""

    __call__ = staticmethod(search)


sys.modules[__name__].__class__ = _Function

if __name__ == "__main__":
    sys.exit(cli.run(main))
