"""Search algorithms at equal cost, one of them killed at random: `python -m benchmarks.search`."""

import contextlib
import csv
import dataclasses
import itertools
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.processes import python
from hln_tf.analysis import markdown, new_figure, save_picture
from hln_tf.common import cli, files
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.data.dataset import SessionDataset
from tuning.brackets import brackets
from tuning.settings import TUNERS
from tuning.workers import HOST, ID, PORT

_DESCRIPTION = """\
Searches by each algorithm with a chief and two workers, at the same number of epochs in
total. During the Bayesian search processes that are chosen at random are killed at random
times and started again; the trials must be different points, each of which ends once. The best
two settings of the first search and the default ones are trained with several seeds. Writes
results.json and search.png, and resumes. Flags of python -m tuning.search follow after --.

  python -m benchmarks.search --data_dir data/sample -- --embedding_dim 16 --hidden_dim 16 \\
    --search learning_rate,dropout,num_groups
"""
_PROCESSES = ("chief", "w1", "w2")
_POLL_SECONDS = 0.1
_FACTOR = 2
_COLOURS = {"bayesian": "#0072B2", "random": "#D55E00", "hyperband": "#009E73"}
_STYLES = {"bayesian": "-", "random": "--", "hyperband": "-."}


@dataclasses.dataclass(frozen=True)
class Search:
    """A search by several processes.

    Attributes:
      tuner: The algorithm.
      workdir: Its directory.
      flags: Its flags.
    """

    tuner: str
    workdir: Path
    flags: Sequence[str]

    def ended(self) -> list[str]:
        """Return the ids of the trials that have ended, in their order."""
        try:
            state: dict[str, Any] = json.loads((self.workdir / "oracle.json").read_text())
        except FileNotFoundError:
            return []
        return list(state["end_order"])

    @property
    def killed(self) -> list[str]:
        """The names of its processes that were killed, also before an interruption."""
        path = self.log("kills")
        return path.read_text("utf-8").split() if path.is_file() else []

    def log(self, name: str) -> Path:
        """Return the log of one of its processes, or of its kills."""
        return self.workdir.with_name(f"{self.workdir.name}-{name}.log")

    def rows(self) -> list[dict[str, str]]:
        """Read its trials.csv."""
        with open(self.workdir / "trials.csv", newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def curve(self) -> tuple[list[int], list[float]]:
        """Return the epochs that were trained by the end of each trial, and the best score."""
        rows = self.rows()
        epochs = [int(row["epochs"]) for row in rows]
        spent: list[int] = []
        best: list[float] = []
        trained = 0
        for number in map(int, self.ended()):
            parent = rows[number]["parent"]
            trained += epochs[number] - (epochs[int(parent)] if parent else 0)
            score = float(rows[number]["mrr@20"] or 0.0)
            spent.append(trained)
            best.append(max([score, *best[-1:]]))
        return spent, best


@contextlib.contextmanager
def _processes(search: Search, port: int) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Run a search's processes; those that still run at the end are killed."""
    started = {name: start_process(search, name, port) for name in _PROCESSES}
    try:
        yield started
    finally:
        for process in started.values():
            process.kill()
            process.wait()


def start_process(search: Search, name: str, port: int) -> subprocess.Popen[bytes]:
    """Start or restart a process of a search; its output is added to a log in its directory."""
    environment = {**os.environ, ID: name, HOST: "127.0.0.1", PORT: str(port)}
    command = python("-m", "tuning.search", "--workdir", str(search.workdir), *search.flags)
    with open(search.log(name), "ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def run_search(search: Search, kills: int, trials: int, seed: int, stop: StopOnSignal) -> None:
    """Run a search to its end, while some of its processes are killed and started again.

    Args:
      search: The search.
      kills: Number of kills.
      trials: Number of its trials.
      seed: Chooses the processes and times.
      stop: The source of interrupts, which kill the search; it resumes.

    Raises:
      HlnError: A process has failed.
    """
    chance = random.Random(seed)
    search.workdir.parent.mkdir(parents=True, exist_ok=True)
    moments = sorted(chance.sample(range(1, trials - 1), kills))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with _processes(search, port) as running:
        while any(process.poll() is None for process in running.values()):
            stop.check()
            time.sleep(_POLL_SECONDS)
            failed = [name for name, process in running.items() if process.poll() not in (None, 0)]
            if failed:
                raise HlnError(f"the process {failed[0]} has failed: see {search.log(failed[0])}")
            number = len(search.killed)
            if number < kills and len(search.ended()) >= moments[number]:
                time.sleep(chance.uniform(0, 5))
                name = chance.choice(_PROCESSES)
                if running[name].poll() is None:
                    running[name].kill()
                    running[name].wait()
                    running[name] = start_process(search, name, port)
                    with open(search.log("kills"), "a", encoding="utf-8") as log:
                        log.write(f"{name}\n")
                    print(f"killed {name} after {len(search.ended())} trials", file=sys.stderr)


def check(search: Search, trials: int) -> None:
    """Check that the trials of a search are different points, each of which ended once.

    Raises:
      HlnError: They are not.
    """
    rows, ended = search.rows(), search.ended()
    own = ("trial", "status", "mrr@20", "stopped_after", "reason")
    distinct = {tuple(v for name, v in row.items() if name not in own) for row in rows}
    if not len(rows) == len(distinct) == len(ended) == len(set(ended)) == trials:
        raise HlnError(
            f"{search.workdir}: expected {trials} different trials that end once, found "
            f"{len(rows)} trials at {len(distinct)} points and {len(ended)} ends of "
            f"{len(set(ended))}"
        )


def confirm(
    search: Search, data_dir: Path, seeds: Sequence[int], stop: StopOnSignal
) -> dict[str, list[float]]:
    """Train the default settings and the best two with seeds of their own.

    Args:
      search: The search.
      data_dir: The data set.
      seeds: The seeds.
      stop: The source of interrupts.

    Returns:
      Validation MRR@20 for each seed, by trial.

    Raises:
      TrainingInterrupt: A signal arrived; the trainings resume.
      HlnError: A loss is not finite.
    """
    cli.import_tensorflow()
    from hln_tf.training import OBJECTIVE, Run, RunDirectory

    dataset = SessionDataset.from_directory(data_dir)
    scored = [row for row in search.rows() if row["status"] == "completed"]
    best = sorted(scored, key=lambda row: -float(row["mrr@20"]))[:2]
    found: dict[str, list[float]] = {}
    for row in (search.rows()[0], *best):
        trial = RunDirectory(search.workdir / f"trial_{int(row['trial']):04d}").config()
        found[row["trial"]] = []
        for seed in seeds:
            config = dataclasses.replace(
                trial, training=dataclasses.replace(trial.training, seed=seed)
            )
            name = f"trial_{row['trial']}-seed_{seed}"
            directory = RunDirectory(search.workdir.parent / "confirm" / name)
            with directory.locked():
                config = directory.begin(config, dataset.item_ids)
                run = Run(config, directory, stop=stop)
                fitted = run.fit(dataset.split("train"), dataset.split("validation"))
            found[row["trial"]].append(fitted.results["validation"][OBJECTIVE])
    return found


def draw(searches: Sequence[Search], path: Path) -> None:
    """Draw the best score of each search over the epochs that it has trained."""
    figure = new_figure(8.0, 4.5, "Best trial so far, at equal cost")
    axes: Any = figure.subplots()
    for search in searches:
        epochs, best = search.curve()
        style: dict[str, Any] = {"color": _COLOURS[search.tuner], "where": "post"}
        axes.step(
            epochs,
            [100 * score for score in best],
            label=f"{search.tuner}, {len(epochs)} trials: {100 * best[-1]:.2f} %",
            linestyle=_STYLES[search.tuner],
            linewidth=2.0,
            **style,
        )
    axes.set_xlabel("epochs that all trials have trained")
    axes.set_ylabel("validation MRR@20 (%)")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    save_picture(figure, path)


def main(arguments: Sequence[str]) -> None:
    """Run the searches, and print and write what they found.

    Raises:
      UsageError: A flag is not allowed.
      HlnError: A search fails, or a trial ran twice.
    """
    parser = cli.Parser(prog="python -m benchmarks.search", description=_DESCRIPTION)
    add = parser.add_argument
    add("--data_dir", type=Path, default=Path("data/sample"), help="default: %(default)s")
    add("--workdir", type=Path, default=Path("runs/search"), help="default: %(default)s")
    add("--trials", type=int, default=40, help="of each search but Hyperband's (%(default)s)")
    add("--epochs", type=int, default=4, help="of a trial, Hyperband's longest (%(default)s)")
    add("--kills", type=int, default=4, help="during the Bayesian search (%(default)s)")
    add("--seeds", type=int, default=3, help="trainings of the best settings (%(default)s)")
    add("--tuners", nargs="+", choices=TUNERS, default=TUNERS, help="default: all")
    own = list(itertools.takewhile(lambda argument: argument != "--", arguments))
    flags = parser.parse_args(own)
    if not 0 <= flags.kills < flags.trials - 1:
        raise UsageError(f"--kills is {flags.kills}, expected from 0 to below --trials - 1")
    common = ["--dataset", "sample", "--data_dir", str(flags.data_dir), "--worker_timeout", "1200"]
    common += ["--patience", str(flags.epochs), *arguments[len(own) + 1 :]]
    once = sum(each.cost for each in brackets(flags.epochs, _FACTOR, 1))
    iterations = max(1, round(flags.trials * flags.epochs / once))
    by_epochs = ["--max_epochs", str(flags.epochs), "--factor", str(_FACTOR)]
    of_tuner = {"hyperband": [*by_epochs, "--iterations", str(iterations)]}
    by_trials = ["--max_trials", str(flags.trials), "--epochs", str(flags.epochs)]
    results: dict[str, Any] = {}
    searches: list[Search] = []
    with StopOnSignal() as stop:
        for tuner in flags.tuners:
            more = ["--tuner", tuner, *of_tuner.get(tuner, by_trials), *common]
            search = Search(tuner, flags.workdir / tuner, more)
            kills = flags.kills if tuner == "bayesian" else 0
            if not (search.workdir / "trials.csv").is_file():
                run_search(search, kills, flags.trials, 1, stop)
            trials = len(search.rows()) if tuner == "hyperband" else flags.trials
            check(search, trials)
            epochs, best = search.curve()
            results[tuner] = {"trials": trials, "epochs": epochs[-1], "best": best[-1]}
            results[tuner]["killed"] = search.killed
            if flags.seeds and not searches:
                seeds = range(101, 101 + flags.seeds)
                results["confirmed"] = confirm(search, flags.data_dir, seeds, stop)
            searches.append(search)
            draw(searches, flags.workdir / "search")
            files.write_json(flags.workdir / "results.json", results)
    rows = [["tuner", "trials", "epochs", "best MRR@20", "killed"]]
    for tuner in flags.tuners:
        of = results[tuner]
        rows.append([tuner, str(of["trials"]), str(of["epochs"]), f"{100 * of['best']:.2f}"])
        rows[-1].append(", ".join(of["killed"]))
    print(markdown(rows, texts=1))
    for trial, scores in results.get("confirmed", {}).items():
        name = "the default" if trial == "0" else f"trial {trial} of {flags.tuners[0]}"
        shown = ", ".join(f"{100 * score:.2f}" for score in scores)
        print(f"{name}: {100 * statistics.mean(scores):.2f} % in the mean of {shown}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
