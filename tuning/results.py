"""Results of a search: a table, `best_config.json`, `trials.csv` and a figure."""

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
from hln_tf.training import OBJECTIVE
from tuning.oracle import SearchOracle
from tuning.plan import Plan
from tuning.trial_result import TrialResult

BEST, TRIALS, FIGURE = "best_config.json", "trials.csv", "importance"


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
    def from_search(cls, plan: Plan, oracle: SearchOracle) -> "Results":
        """Collect the results of the trials that have ended."""
        ended = [TrialStatus.COMPLETED, TrialStatus.FAILED]
        trials = [trial for trial in list(oracle.trials.values()) if trial.status in ended]
        results = [TrialResult.from_trial(plan, trial) for trial in trials]
        completed = [each for each in results if each.score is not None]
        completed.sort(key=lambda each: (-(each.score or 0.0), each.number))
        return cls(plan, completed, [each for each in results if each.score is None])

    def write(self) -> None:
        """Write the trials, the best settings and the figure.

        Raises:
          HlnError: No trial has a score; the trials are written nevertheless.
        """
        workdir = self.plan.workdir
        with files.atomic_write(workdir / TRIALS) as temporary:
            with open(temporary, "w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(self._csv_rows())
        if not self.completed:
            first = f", trial {self.failed[0].number}: {self.failed[0].reason}"
            raise HlnError(
                f"no trial of the search in {workdir} has a score "
                f"({len(self.failed)} failed{first if self.failed else ''}): see {TRIALS} and the "
                f"trials' failure.txt there, and search with other settings in another --workdir"
            )
        best_config = self.plan.config(self.completed[0].hyperparameters)
        files.write_json(workdir / BEST, best_config.to_dict())
        try:
            cli.require_extra("plots", ["matplotlib"])
        except HlnError as error:
            print(f"note: {FIGURE}.png is not plotted: {error}", file=sys.stderr)
            return
        from tuning.figures import draw

        draw(self.plan, self.completed, len(self.failed), workdir / FIGURE)

    def describe(self) -> str:
        """Return the table of trials, and the commands for the next steps."""
        plan, best = self.plan, self.completed[0]
        names = [each.name for each in plan.space.hyperparameters]
        header = ["trial", *names, "epochs", "MRR@20"]
        if plan.tuner == "hyperband":
            header.insert(1, "parent")
        rows = [header]
        for each in (*self.completed, *self.failed):
            row = [str(each.number), *(_format(each.values[name]) for name in names)]
            row += [str(each.epochs), "failed" if each.score is None else _percent(each.score)]
            if plan.tuner == "hyperband":
                row.insert(1, "" if each.parent is None else str(each.parent))
            rows.append(row)
        lines = [f"validation {OBJECTIVE.upper()} of each trial in percent, best first", ""]
        lines += [markdown(rows, 1), ""]
        lines += [f"trial {each.number} failed: {each.reason}" for each in self.failed]
        config = shlex.quote(str(plan.workdir / BEST))
        lines += [
            f"best: trial {best.number}{self._improvement()}",
            f"train it: python -m hln_tf.train --config {config}",
            f"compare the trials: tensorboard --logdir {shlex.quote(str(plan.workdir))}",
            f"written: {BEST}, {TRIALS}, {FIGURE}.png and .svg in {plan.workdir}",
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
        rows: list[list[Any]] = [
            ["trial", "status", OBJECTIVE, "epochs", "parent", *names, "reason"]
        ]
        for each in sorted((*self.completed, *self.failed), key=lambda each: each.number):
            status = "failed" if each.score is None else "completed"
            values = [each.values[name] for name in names]
            rows.append(
                [each.number, status, each.score, each.epochs, each.parent, *values, each.reason]
            )
        return rows


def print_progress(plan: Plan, oracle: SearchOracle, trial: Trial) -> None:
    """Print a line for a trial that has ended."""
    results, ended = Results.from_search(plan, oracle), TrialResult.from_trial(plan, trial)
    count = len(results.completed) + len(results.failed)
    text = f"failed: {ended.reason}" if ended.score is None else f"MRR@20 {_percent(ended.score)} %"
    if results.completed:
        best = results.completed[0]
        text += f", best {_percent(best.score)} % in trial {best.number}"
    values = ", ".join(f"{name} {_format(value)}" for name, value in ended.values.items())
    print(
        f"{count} of {oracle.planned_trials} trials: trial {ended.number} ({values}): {text}",
        file=sys.stderr,
    )


def _percent(score: float | None) -> str:
    return "" if score is None else f"{100 * score:.2f}"


def _format(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
