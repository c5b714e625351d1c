"""Results of a search: a table, `best_config.json`, `trials.csv` and figures."""

import csv
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from keras_tuner.engine.trial import Trial, TrialStatus

from hln_tf.analysis import markdown
from hln_tf.common import cli, files
from hln_tf.common.errors import HlnError
from hln_tf.training import OBJECTIVE, RunConfig
from tuning.oracle import SearchOracle
from tuning.plan import Plan
from tuning.trial_result import TrialResult

BEST, TRIALS = "best_config.json", "trials.csv"
IMPORTANCE, PARALLEL = "importance", "parallel"


@dataclasses.dataclass(frozen=True)
class Results:
    """Results of the trials of a search.

    Attributes:
      plan: The search.
      completed: Trials that have a score, best first; ties by number.
      failed: Trials that have failed.
    """

    plan: Plan
    completed: Sequence[TrialResult]
    failed: Sequence[TrialResult]

    @classmethod
    def from_oracle(cls, oracle: SearchOracle) -> "Results":
        """Collect the results of the trials that have ended."""
        plan = oracle.plan
        ended = [TrialStatus.COMPLETED, TrialStatus.FAILED]
        trials = [trial for trial in list(oracle.trials.values()) if trial.status in ended]
        results = [TrialResult.from_trial(plan, trial) for trial in trials]
        completed = [each for each in results if each.score is not None]
        completed.sort(key=lambda each: (-(each.score or 0.0), each.number))
        return cls(plan, completed, [each for each in results if each.score is None])

    @property
    def best_config(self) -> RunConfig:
        """The configuration of the run of the best trial, on the first data set.

        Raises:
          HlnError: No trial has a score.
        """
        if not self.completed:
            first = f", trial {self.failed[0].number}: {self.failed[0].reason}" * bool(self.failed)
            raise HlnError(
                f"no trial of the search in {self.plan.workdir} has a score "
                f"({len(self.failed)} failed{first}): see {TRIALS} and the trials' failure.txt "
                f"there, and search with other settings in another `workdir`"
            )
        return self.plan.config(self.completed[0].hyperparameters)

    def write(self) -> None:
        """Write the trials, the best settings and the figures.

        Raises:
          HlnError: No trial has a score; the trials are written nevertheless.
        """
        workdir = self.plan.workdir
        with files.atomic_write(workdir / TRIALS) as temporary:
            with open(temporary, "w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(self._csv_rows())
        files.write_json(workdir / BEST, self.best_config.to_dict())
        try:
            cli.require_extra("plots", ["matplotlib"])
        except HlnError as error:
            print(f"note: the figures are not plotted: {error}", file=sys.stderr)
            return
        from tuning.figures import draw_importance
        from tuning.parallel_coordinates import draw_parallel_coordinates

        draw_importance(self.plan, self.completed, len(self.failed), workdir / IMPORTANCE)
        draw_parallel_coordinates(self.plan, self.completed, workdir / PARALLEL)

    def describe(self, num_trials: int | None = None) -> str:
        """Return the table of trials, and the commands for the next steps.

        Args:
          num_trials: Number of the best trials that the table has; all by default.

        Raises:
          HlnError: No trial has a score.
        """
        plan = self.plan
        config = shlex.quote(str(plan.workdir / BEST))
        _, best = self.best_config, self.completed[0]
        names = [each.name for each in plan.space.hyperparameters]
        of_data = plan.data_names if len(plan.data) > 1 else []
        header = ["trial", *names, "epochs", "MRR@20", *(f"on {name}" for name in of_data)]
        if plan.settings.tuner == "hyperband":
            header.insert(1, "parent")
        rows = [header]
        shown = [*self.completed, *self.failed][:num_trials]
        for each in shown:
            row = [str(each.number), *(_format(each.values.get(name)) for name in names)]
            row += [_epochs(each), "failed" if each.score is None else _percent(each.score)]
            row += [_percent(score) for score in each.scores or [None] * len(of_data)]
            if plan.settings.tuner == "hyperband":
                row.insert(1, "" if each.parent is None else str(each.parent))
            rows.append(row)
        title = f"validation {OBJECTIVE.upper()} of each trial in percent, best first"
        if of_data:
            title += ": the geometric mean, and that on each data set"
        lines = [title, "", markdown(rows, 1), ""]
        if any(epoch for each in shown for epoch in each.stopped):
            lines += ["* stopped after this epoch by the median stopping rule", ""]
        lines += [f"trial {each.number} failed: {each.reason}" for each in self.failed]
        lines += [
            f"best: trial {best.number}{self._improvement()}",
            f"train it: python -m hln_tf.train --config {config}",
            f"compare the trials: tensorboard --logdir {shlex.quote(str(plan.workdir))}",
            f"written: {BEST}, {TRIALS}, {IMPORTANCE}.png and {PARALLEL}.png (and .svg) in "
            f"{plan.workdir}",
        ]
        return "\n".join(lines)

    def _improvement(self) -> str:
        """Describe the improvement over the default settings, trained for the most epochs."""
        best, default = self.completed[0], self.plan.space.defaults()
        trials = [each for each in self.completed if each.values == default]
        if not trials:
            return ""
        longest = max(trials, key=lambda each: each.epochs)
        if best.values == default:
            return ", the default settings"
        difference = 100 * ((best.score or 0.0) - (longest.score or 0.0))
        return f", {difference:.2f} points above trial {longest.number}, the default settings"

    def _csv_rows(self) -> list[list[Any]]:
        names = [each.name for each in self.plan.space.hyperparameters]
        data = self.plan.data_names
        of_data = [f"{OBJECTIVE} on {name}" for name in data] if len(data) > 1 else []
        header = ["trial", "status", OBJECTIVE, *of_data, "epochs", "stopped_after", "parent"]
        rows: list[list[Any]] = [[*header, *names, "reason"]]
        for each in sorted((*self.completed, *self.failed), key=lambda each: each.number):
            status = "failed" if each.score is None else "completed"
            status = "stopped" if any(each.stopped) else status
            stopped = "/".join("" if epoch is None else str(epoch) for epoch in each.stopped)
            values = [each.values.get(name) for name in names]
            scores = [each.score, *(each.scores or [None] * len(of_data))]
            of_run = [each.epochs, stopped.strip("/"), each.parent]
            rows.append([each.number, status, *scores, *of_run, *values, each.reason])
        return rows


def print_progress(oracle: SearchOracle, trial: Trial) -> None:
    """Print a line for a trial that has ended."""
    results, ended = Results.from_oracle(oracle), TrialResult.from_trial(oracle.plan, trial)
    count = len(results.completed) + len(results.failed)
    text = f"failed: {ended.reason}" if ended.score is None else f"MRR@20 {_percent(ended.score)} %"
    if any(ended.stopped):
        text += f", stopped after epoch {'/'.join(str(each or '-') for each in ended.stopped)}"
    if results.completed:
        best = results.completed[0]
        text += f", best {_percent(best.score)} % in trial {best.number}"
    values = ", ".join(f"{name} {_format(value)}" for name, value in ended.values.items())
    print(
        f"{count} of {oracle.max_trials} trials: trial {ended.number} ({values}): {text}",
        file=sys.stderr,
    )


def _percent(score: float | None) -> str:
    return "" if score is None else f"{100 * score:.2f}"


def _epochs(trial: TrialResult) -> str:
    """Return a trial's epochs, or those after which it was stopped, with a star."""
    if not any(trial.stopped):
        return str(trial.epochs)
    return "/".join(f"{epoch}*" if epoch else str(trial.epochs) for epoch in trial.stopped)


def _format(value: Any) -> str:
    """Return a value as text, nothing for one that does not apply."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
