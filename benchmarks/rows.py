"""The rows of Table 1 and the runs behind them. Imports no TensorFlow."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hln_tf.analysis.comparison import COLUMNS, NON_IDENTIFYING_SETTINGS, read_results
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.data.layout import Manifest
from hln_tf.models.registry import MODELS, model_entry
from hln_tf.training.run_directory import CONFIG, METRICS, RunDirectory
from hln_tf.training.run_flags import COUNTING, parse
from hln_tf.training.settings import RunConfig, TrainingSettings

# The paper's order; its GRU4Rec is that of 2016.
DEFAULT_ROWS = (
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
class Row:
    """A model with one of its presets."""

    model: str
    preset: str

    @classmethod
    def parse(cls, text: str) -> "Row":
        """Reads `model` or `model:preset`; without one, the preset is `paper`.

        Raises:
          UsageError: There is no such model or preset; the message lists those that exist.
        """
        model, _, preset = text.partition(":")
        if model not in MODELS:
            known = ", ".join(MODELS)
            raise UsageError(f"--models has {text!r}, expected models among: {known}")
        preset = preset or "paper"
        presets = model_entry(model).presets
        if preset not in presets:
            known = ", ".join(f"{model}:{name}" for name in presets)
            raise UsageError(f"--models has {text!r}, but {model} has the presets: {known}")
        return cls(model, preset)

    def __str__(self) -> str:
        return f"{self.model} ({self.preset})"

    @property
    def is_trained(self) -> bool:
        """Whether it is trained by gradients; others count and have no randomness."""
        return model_entry(self.model).is_encoder

    def seeds(self, asked: Sequence[int]) -> Sequence[int]:
        """The seeds that tell runs apart: one is enough for a model that counts."""
        return asked if self.is_trained else (TrainingSettings().seed,)

    def run_name(self, seed: int) -> str:
        """What tells a run apart from others of the table."""
        return f"{self}, seed {seed}" if self.is_trained else str(self)

    def settings(self) -> tuple[Any, TrainingSettings]:
        """The preset's settings of the model and of the training."""
        arguments = ("--dataset", "sample", "--model", self.model, "--preset", self.preset)
        _, of_model, of_training = parse(arguments, "python -m hln_tf.train", None)
        return of_model, of_training

    def in_place_of_preset(self, seed: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of the training of a run, of those that the model has, by name.

        Args:
          seed: The run's seed.
          given: What the command line says.
        """
        settings = {"refit": True, **given, "seed": seed}
        names = [name for name in settings if self.is_trained or name in COUNTING]
        return {name: settings[name] for name in names}


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of a row.

    Attributes:
      row: The row.
      seed: Its seed.
      path: Its workdir, or where it would be.
      status: `FINISHED`, `UNFINISHED`, `FAILED` or `NOT_RUN`.
      results: Its `metrics.json` where it is finished, else empty.
    """

    row: Row
    seed: int
    path: Path
    status: str
    results: dict[str, Any]

    @property
    def figures(self) -> dict[str, float]:
        """What the table shows of it: metrics in percent, seconds, counts; what it has of them."""
        if not self.results:
            return {}
        timing, epochs = self.results["timing"], len(self.results.get("history", ()))
        known: dict[str, float] = {name: 100 * self.results["test"][name] for name in COLUMNS}
        if epochs:
            known["seconds_per_epoch"] = timing["training_seconds"] / epochs
            known["epochs"] = epochs
            known["best_epoch"] = self.results["best_epoch"]
        known["parameters"] = self.results["parameters"]
        known["peak_memory_megabytes"] = timing["peak_memory_megabytes"]
        return known

    def deviations(self) -> dict[str, Any]:
        """The settings in which it differs from its preset with refit, by name."""
        config = RunDirectory(self.path).config()
        of_model, of_training = self.row.settings()
        wanted = dataclasses.asdict(of_model) | dataclasses.asdict(of_training) | {"refit": True}
        own = dataclasses.asdict(config.model_settings) | dataclasses.asdict(config.training)
        return {
            name: value
            for name, value in own.items()
            if name not in NON_IDENTIFYING_SETTINGS and value != wanted[name]
        }


def workdir_of(output: Path, row: Row, seed: int) -> Path:
    """Where a run of the table has its workdir."""
    return output / "runs" / f"{row.model}-{row.preset}" / str(seed)


def read_runs(
    output: Path, rows: Sequence[Row], manifest: Manifest, failed: Collection[Path] = ()
) -> list[Run]:
    """All runs of a table, at least one for each row.

    Args:
      output: The table's directory.
      rows: Its rows.
      manifest: The data set.
      failed: Workdirs of runs that failed just now, whatever stands there.

    Raises:
      HlnError: A run there is of another data set, or cannot be read.
    """
    return [run for row in rows for run in _runs_of(output, row, manifest, failed)]


def _runs_of(output: Path, row: Row, manifest: Manifest, failed: Collection[Path]) -> Iterator[Run]:
    parent = workdir_of(output, row, 0).parent
    there = set(parent.iterdir()) if parent.is_dir() else set()
    there |= {path for path in failed if path.parent == parent}
    seeds = sorted(int(path.name) for path in there if path.name.isdecimal())
    for seed in seeds:
        path = parent / str(seed)
        if path in failed:
            yield Run(row, seed, path, FAILED, {})
        elif not (path / METRICS).is_file():
            yield Run(row, seed, path, UNFINISHED, {})
        else:
            _check_ours(row, seed, path, manifest)
            yield Run(row, seed, path, FINISHED, read_results(path))
    if not seeds:
        seed = TrainingSettings().seed
        yield Run(row, seed, parent / str(seed), NOT_RUN, {})


def _check_ours(row: Row, seed: int, path: Path, manifest: Manifest) -> None:
    config = RunDirectory(path).config()
    other = None
    if config.data.fingerprint != manifest.fingerprint():
        other = "a run on another data set than --data_dir"
    elif (config.model, config.training.seed) != (row.model, seed):
        other = f"a run of {config.model} with seed {config.training.seed}"
    if other:
        raise HlnError(f"{path} holds {other}: choose another --output, or remove that run")


def check_settings(row: Row, seed: int, path: Path, given: Mapping[str, Any]) -> None:
    """Checks that a run which is there, finished or not, is the one that is asked for.

    Args:
      row: Its row.
      seed: Its seed.
      path: Its workdir.
      given: Settings of the training in place of the preset's.

    Raises:
      HlnError: It has other settings.
    """
    if not (path / CONFIG).is_file():
        return
    there = RunDirectory(path).config()
    _, of_training = row.settings()
    wanted = dataclasses.replace(of_training, **row.in_place_of_preset(seed, given))
    for name, value in dataclasses.asdict(wanted).items():
        found = getattr(there.training, name)
        if f"training.{name}" not in RunConfig.RESUMABLE and found != value:
            raise HlnError(
                f"{path} holds a run with {name} = {found!r}, not {value!r}: choose another "
                f"--output, remove that run, or leave {row.model} out of --models"
            )
