"""What came of a search: a table, `best_config.json`, `trials.csv` and a picture."""

import csv
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from keras_tuner.engine.trial import Trial, TrialStatus

from hln_tf.analysis.comparison import markdown
from hln_tf.common import files
from hln_tf.common.errors import HlnError
from hln_tf.training.trainer import OBJECTIVE
from tuning.figures import draw
from tuning.oracle import SearchOracle
from tuning.plan import Plan
from tuning.trial_result import Outcome

BEST, TRIALS, PICTURE = "best_config.json", "trials.csv", "importance"


@dataclasses.dataclass(frozen=True)
class Results:
    """The trials of a search.

    Attributes:
      plan: The search.
      completed: Trials that have a score, best first; of equals the first.
      failed: The others that have ended.
    """

    plan: Plan
    completed: Sequence[Outcome]
    failed: Sequence[Outcome]

    @classmethod
    def from_search(cls, plan: Plan, oracle: SearchOracle) -> "Results":
        """What is known so far."""
        ended = [TrialStatus.COMPLETED, TrialStatus.FAILED]
        outcomes = [
            Outcome.from_trial(plan, t) for t in list(oracle.trials.values()) if t.status in ended
        ]
        completed = [each for each in outcomes if each.score is not None]
        completed.sort(key=lambda each: (-(each.score or 0.0), each.number))
        return cls(plan, completed, [each for each in outcomes if each.score is None])

    def write(self) -> None:
        """Writes the trials, the best settings and the picture.

        Raises:
          HlnError: No trial has a score; the trials are written even so.
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
        files.write_json(workdir / BEST, self.plan.config(self.completed[0].drawn).to_dict())
        draw(self.plan, self.completed, len(self.failed), workdir / PICTURE)

    def describe(self) -> str:
        """The table of trials, and what to do with the best."""
        plan, best = self.plan, self.completed[0]
        names = [each.name for each in plan.space.hyperparameters]
        header = ["trial", *names, "epochs", "MRR@20"]
        if plan.tuner == "hyperband":
            header.insert(1, "goes on from")
        rows = [header]
        for each in (*self.completed, *self.failed):
            row = [str(each.number), *(_told(each.values[name]) for name in names)]
            row += [str(each.epochs), "failed" if each.score is None else _percent(each.score)]
            if plan.tuner == "hyperband":
                row.insert(1, "" if each.parent is None else str(each.parent))
            rows.append(row)
        lines = [f"validation {OBJECTIVE.upper()} of each trial in percent, best first", ""]
        lines += [markdown(rows, 1), ""]
        lines += [f"trial {each.number} failed: {each.reason}" for each in self.failed]
        config = shlex.quote(str(plan.workdir / BEST))
        lines += [
            f"best: trial {best.number}{self._gain()}",
            f"train it: python -m hln_tf.train --config {config}",
            f"compare the trials: tensorboard --logdir {shlex.quote(str(plan.workdir))}",
            f"written: {BEST}, {TRIALS}, {PICTURE}.png and .svg in {plan.workdir}",
        ]
        return "\n".join(lines)

    def _gain(self) -> str:
        """What the best has over the default settings, as trained for the most epochs."""
        best, default = self.completed[0], self.plan.space.defaults()
        trials = [each for each in self.completed if each.values == default]
        if not trials:
            return ""
        longest = max(trials, key=lambda each: each.epochs)
        if best.values == default:
            return ", the default settings"
        gain = 100 * ((best.score or 0.0) - (longest.score or 0.0))
        return f", {gain:.2f} points above trial {longest.number}, the default settings"

    def _csv_rows(self) -> list[list[Any]]:
        names = [each.name for each in self.plan.space.hyperparameters]
        rows: list[list[Any]] = [
            ["trial", "status", OBJECTIVE, "epochs", "goes_on_from", *names, "reason"]
        ]
        for each in sorted((*self.completed, *self.failed), key=lambda each: each.number):
            status = "failed" if each.score is None else "completed"
            values = [each.values[name] for name in names]
            rows.append(
                [each.number, status, each.score, each.epochs, each.parent, *values, each.reason]
            )
        return rows


def report_end(plan: Plan, oracle: SearchOracle, trial: Trial) -> None:
    """Prints a line for a trial that has ended."""
    results, ended = Results.from_search(plan, oracle), Outcome.from_trial(plan, trial)
    count = len(results.completed) + len(results.failed)
    told = f"failed: {ended.reason}" if ended.score is None else f"MRR@20 {_percent(ended.score)} %"
    if results.completed:
        best = results.completed[0]
        told += f", best {_percent(best.score)} % in trial {best.number}"
    values = ", ".join(f"{name} {_told(value)}" for name, value in ended.values.items())
    print(
        f"{count} of {oracle.planned} trials: trial {ended.number} ({values}): {told}",
        file=sys.stderr,
    )


def _percent(score: float | None) -> str:
    return "" if score is None else f"{100 * score:.2f}"


def _told(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
