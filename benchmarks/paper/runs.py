"""The runs of Table 1. Imports no TensorFlow."""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.model_preset import ModelPreset
from hln_tf.analysis import COLUMNS, NON_IDENTIFYING_SETTINGS, read_results
from hln_tf.common.errors import HlnError
from hln_tf.data.layout import Manifest
from hln_tf.training import CONFIG, METRICS, RunConfig, RunDirectory, TrainingSettings

# In the paper's order; its GRU4Rec is that of 2016.
DEFAULT_MODELS = (
    "s_pop",
    "sknn",
    "bpr_mf",
    "fpmc",
    "gru4rec",
    "gru4rec:modern",
    "stamp",
    "narm",
    "csrm",
    "sr_gnn",
    "hln",
    "hln:tuned",
)
FINISHED, UNFINISHED, FAILED, NOT_RUN = "finished", "unfinished", "failed", "not run"


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of Table 1.

    Attributes:
      model: Its model and preset.
      seed: Its seed.
      path: Its run directory, whether it exists or not.
      status: `FINISHED`, `UNFINISHED`, `FAILED` or `NOT_RUN`.
      results: Its `metrics.json` if it is finished, else empty.
    """

    model: ModelPreset
    seed: int
    path: Path
    status: str
    results: dict[str, Any]

    @property
    def figures(self) -> dict[str, float]:
        """Figures of the table by name: metrics in percent, seconds, counts."""
        if not self.results:
            return {}
        timing, epochs = self.results["timing"], len(self.results.get("history", ()))
        known: dict[str, float] = {name: 100 * self.results["test"][name] for name in COLUMNS}
        if epochs:  # else it has none, or another run's selection
            known["seconds_per_epoch"] = timing["training_seconds"] / epochs
            known["epochs"] = epochs
        if "best_epoch" in self.results:
            known["best_epoch"] = self.results["best_epoch"]
        known["parameters"] = self.results["parameters"]
        known["peak_memory_megabytes"] = timing["peak_memory_megabytes"]
        return known

    @property
    def has_shared_selection(self) -> bool:
        """True if it is finished, and another seed's validation chose its epoch."""
        return self.status == FINISHED and RunDirectory(self.path).config().selection is not None

    def deviations(self) -> dict[str, Any]:
        """Return the settings that differ from the preset with refit, by name."""
        config = RunDirectory(self.path).config()
        of_model, of_training = self.model.settings()
        expected = dataclasses.asdict(of_model) | dataclasses.asdict(of_training) | {"refit": True}
        actual = dataclasses.asdict(config.model_settings) | dataclasses.asdict(config.training)
        return {
            name: value
            for name, value in actual.items()
            if name not in NON_IDENTIFYING_SETTINGS and value != expected[name]
        }


def run_path(output: Path, model: ModelPreset, seed: int) -> Path:
    """Return the run directory of a run of the table."""
    return output / "runs" / model.directory_name / str(seed)


def read_runs(
    output: Path, models: Sequence[ModelPreset], manifest: Manifest, failed: Collection[Path] = ()
) -> list[Run]:
    """Read all runs of a table, at least one for each model.

    Args:
      output: The table's directory.
      models: Its models.
      manifest: The data set.
      failed: Run directories of runs that have just failed, whatever they contain.

    Raises:
      HlnError: A run is of another data set, model or seed, or cannot be read.
    """
    return [run for model in models for run in _runs_of(output, model, manifest, failed)]


def by_model(runs: Iterable[Run]) -> dict[ModelPreset, list[Run]]:
    """Group runs by their models, in order."""
    groups: dict[ModelPreset, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.model, []).append(run)
    return groups


def _runs_of(
    output: Path, model: ModelPreset, manifest: Manifest, failed: Collection[Path]
) -> Iterator[Run]:
    parent = run_path(output, model, 0).parent
    paths = set(parent.iterdir()) if parent.is_dir() else set()
    paths |= {path for path in failed if path.parent == parent}
    seeds = sorted(int(path.name) for path in paths if path.name.isdecimal())
    for seed in seeds:
        path = parent / str(seed)
        if path in failed:
            yield Run(model, seed, path, FAILED, {})
        elif not (path / METRICS).is_file():
            yield Run(model, seed, path, UNFINISHED, {})
        else:
            _check_identity(model, seed, path, manifest)
            yield Run(model, seed, path, FINISHED, read_results(path))
    if not seeds:
        seed = TrainingSettings().seed
        yield Run(model, seed, parent / str(seed), NOT_RUN, {})


def _check_identity(model: ModelPreset, seed: int, path: Path, manifest: Manifest) -> None:
    config = RunDirectory(path).config()
    other = None
    if config.data.fingerprint != manifest.fingerprint():
        other = "a run on another data set than --data_dir"
    elif (config.model, config.training.seed) != (model.model, seed):
        other = f"a run of {config.model} with seed {config.training.seed}"
    if other:
        raise HlnError(f"{path} holds {other}: choose another --output, or remove that run")


def check_settings(
    model: ModelPreset, seed: int, path: Path, given: Mapping[str, Any], selects: bool
) -> None:
    """Check that an existing run, finished or not, has the requested settings.

    Args:
      model: Its model and preset.
      seed: Its seed.
      path: Its run directory.
      given: Training settings of the command line, which override the preset's.
      selects: Whether its own validation chooses its epoch.

    Raises:
      HlnError: It has other settings.
    """
    if not (path / CONFIG).is_file():
        return
    existing = RunDirectory(path).config()
    _, of_training = model.settings()
    requested = dataclasses.replace(of_training, **model.overrides(seed, given))
    if (existing.selection is None) != selects:
        chooser = "another seed" if selects else "its own validation"
        raise HlnError(
            f"{path} holds a run whose epoch {chooser} chose: choose another --output, remove that "
            f"run, or give --one_selection and the first of --seeds as before"
        )
    for name, value in dataclasses.asdict(requested).items():
        found = getattr(existing.training, name)
        if f"training.{name}" not in RunConfig.RESUMABLE and found != value:
            raise HlnError(
                f"{path} holds a run with {name} = {found!r}, not {value!r}: choose another "
                f"--output, remove that run, or leave {model.model} out of --models"
            )
