"""Run directories of trainings that were executed elsewhere."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compiled.run_plan import (
    Plan,
    PlannedRun,
    read_sessions,
    variable_name,
    weights_path,
)
from hln_tf.analysis.ranked_examples import examples_table, write_examples
from hln_tf.data.layout import SPLITS, VOCABULARY
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions
from hln_tf.data.stores import local_copy
from hln_tf.training.results import compose_results, unseen_targets
from hln_tf.training.run_directory import RunDirectory


def collect_runs(directory: Path, results: Path) -> tuple[int, int, list[str]]:
    """Write the directories of all runs that have results.

    Args:
      directory: The directory of the plan.
      results: The directory of the results.

    Returns:
      The number of runs that are written, of those of them that have no weights, and
      the names of those without results.

    Raises:
      HlnError: A run directory has another run, or its data set is gone.
    """
    plan, written, without_weights, missing = Plan.read(directory), 0, 0, []
    parts_of: dict[str, dict[str, Sessions]] = {}
    for number, run in enumerate(plan.runs):
        path = results / f"{number}.npz"
        if not path.exists():
            missing.append(run.workdir)
            continue
        with np.load(path) as stored:
            found, ranks = json.loads(str(stored["results"])), stored["ranks"]
        if run.data not in parts_of:
            parts_of[run.data] = read_sessions(directory / run.data)
        parts = parts_of[run.data]
        _write(run, parts, found, ranks.astype(np.int32), weights_path(results, number))
        written += 1
        without_weights += not weights_path(results, number).exists()
    return written, without_weights, missing


def _write(
    run: PlannedRun, parts: dict[str, Sessions], found: dict[str, Any], ranks: Any, weights: Path
) -> None:
    train, validation, test = (parts[each] for each in SPLITS)
    target = RunDirectory(run.workdir)
    data = run.config.data.directory
    with target.locked():
        config = target.begin(run.config, local_copy(data, [VOCABULARY]) / VOCABULARY)
        model = config.create_model()
        model.fit_counts(train + validation if config.training.refit else train)
        if weights.exists():
            with np.load(weights) as stored:
                for place, variable in enumerate(model.variables):
                    if variable_name(place) in stored:
                        variable.assign(stored[variable_name(place)])
            target.weights_of(model).save()
        counts = model.item_counts.numpy()
        prefixes = Prefixes.from_sessions(test, config.training.max_length)
        scores = np.full(len(prefixes), np.nan, np.float32)
        table = examples_table(test, prefixes, ranks, scores, counts, target.vocabulary())
        write_examples(target.ranks("test"), table)
        of_training = {name: value for name, value in found.items() if name != "test"} | {
            "sessions": {"train": len(train), "validation": len(validation)},
            "training_examples": train.prefixes * len(found["history"]),
            "unseen_test_targets": unseen_targets(train, validation, test),
        }
        of_test = found["test"] | {"prefixes": test.prefixes, "sessions": len(test)}
        seconds = sum(value for name, value in found.items() if name.endswith("_seconds"))
        timing = {"seconds_since_last_start": seconds}
        target.finish(compose_results(config, model, of_training, of_test, timing))
