"""Preparation of a data set for a command that needs one.

Preprocessing runs in a child process, so that its memory is free before training starts.
This module imports neither Beam nor TensorFlow.
"""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from beam_preprocess.inputs import describe_files
from hln_tf.common.errors import HlnError, ReportedError, UsageError
from hln_tf.data.layout import MANIFEST, Manifest
from hln_tf.data.sources import CUSTOM, SOURCES


def ensure_prepared(
    dataset: str,
    data_dir: Path,
    raw_dir: Path,
    is_explicit: bool,
    inputs: Sequence[Path] = (),
    spec: Path | None = None,
    options: Sequence[str] = (),
) -> Manifest:
    """Read the manifest of a data set; preprocess its raw log first if need be.

    The raw log of the sample is generated where it is missing.

    Args:
      dataset: A name in `SOURCES`, or `CUSTOM`.
      data_dir: The data set directory.
      raw_dir: Directory that is searched for raw files.
      is_explicit: Whether the user named `data_dir`; then a finished data set
        there is used whatever its name and fraction.
      inputs: Raw files instead of the one in `raw_dir`; a finished data set is
        then checked against them.
      spec: The YAML spec of a custom log.
      options: More options for the preprocessing.

    Raises:
      UsageError: `spec` is given for another data set than `CUSTOM`, or
        without `inputs`.
      HlnError: There is neither a data set nor a raw file, or the data set in
        the default directory is another one, or the preprocessing failed.
    """
    if spec and dataset != CUSTOM:
        raise UsageError(f"--spec goes with --dataset {CUSTOM}, but --dataset is {dataset}")
    if dataset == CUSTOM and bool(spec) != bool(inputs):
        raise UsageError(f"--dataset {CUSTOM} takes --spec and --input together: give both")
    if inputs or not (data_dir / MANIFEST).is_file():
        options = [*(["--spec", str(spec)] if spec else []), *options]
        _preprocess(dataset, data_dir, inputs or [_raw_file(dataset, data_dir, raw_dir)], options)
    fractions = sorted(path.parent for path in data_dir.glob(f"*/{MANIFEST}"))
    if fractions and not (data_dir / MANIFEST).is_file():
        raise HlnError(
            f"{data_dir} holds a data set for each of several fractions of train: "
            f"name one of them, such as --data_dir {fractions[0]}, without --spec and --input"
        )
    manifest = Manifest.read(data_dir)
    if not is_explicit:
        _check_dataset(dataset, manifest, data_dir)
    return manifest


def _check_dataset(dataset: str, manifest: Manifest, data_dir: Path) -> None:
    """Raise an error where a default directory holds another data set than its name says."""
    remedy = "remove it, or name the directory to use with --data_dir"
    if manifest.dataset != dataset:
        raise HlnError(
            f"{data_dir} holds the data set {manifest.dataset!r}, expected {dataset!r}: {remedy}"
        )
    if dataset == CUSTOM:
        return
    expected = SOURCES[dataset].train_fraction
    fraction = manifest.settings.get("train_fraction", expected)
    if fraction != expected:
        raise HlnError(
            f"{data_dir} holds the last {fraction} of train, expected {expected}: {remedy}"
        )


def _raw_file(dataset: str, data_dir: Path, raw_dir: Path) -> Path:
    if dataset == CUSTOM:
        raise HlnError(
            f"there is no prepared data set in {data_dir}: give a log of your own with --input and "
            "say with --spec how it is written, or name a prepared directory with --data_dir"
        )
    source = SOURCES[dataset]
    candidates = [raw_dir / source.file, raw_dir / f"{source.file}.gz"]
    raw = next((path for path in candidates if path.is_file()), None)
    if raw is None and source.generator:
        _run([part.format(raw_dir) for part in source.generator], f"writing {candidates[0]}")
        return candidates[0]
    if raw is None:
        download = ["python", "-m", "beam_preprocess.download", source.download]
        download += ["--raw_dir", str(raw_dir)]
        raise HlnError(
            f"there is no prepared data set in {data_dir} and no raw file {candidates[0]} (or "
            f"{source.file}.gz): download it with {shlex.join(download)}, or name the directory "
            "that has it with --raw_dir"
        )
    return raw


def _preprocess(
    dataset: str, data_dir: Path, inputs: Sequence[Path], options: Sequence[str]
) -> None:
    arguments = ["beam_preprocess", "--dataset", dataset, "--input", *map(str, inputs)]
    arguments += ["--output", str(data_dir), *options]
    _run(arguments, f"preparing {data_dir} from {describe_files(inputs)}")


def _run(arguments: Sequence[str], task: str) -> None:
    """Run a module with its arguments in a child process.

    Raises:
      HlnError: It failed.
    """
    command = [sys.executable, "-m", *arguments]
    print(task, file=sys.stderr)
    code = subprocess.run(command, check=False).returncode
    if code in (HlnError.exit_code, UsageError.exit_code):
        raise ReportedError(code)
    if code:
        raise HlnError(
            f"{task} ended with exit code {code}: "
            f"run it by itself to see more: {shlex.join(command)}"
        )
