"""Preparation of a data set for a command that needs one.

Preprocessing runs in a child process, so that its memory is free before training starts.
This module imports neither Beam nor TensorFlow.
"""

import argparse
import dataclasses
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from beam_preprocess.formats import LogFormat
from beam_preprocess.inputs import describe_files
from beam_preprocess.settings import Settings
from hln_tf.common.cli import Parser, add_settings, as_arguments
from hln_tf.common.errors import HlnError, ReportedError, UsageError
from hln_tf.common.files import Location, as_location, name_of
from hln_tf.common.settings import declared_fields, flag_name
from hln_tf.common.text import read_separator
from hln_tf.data.layout import Manifest, find_data_sets
from hln_tf.data.sources import CUSTOM, SOURCES

_FORMAT = tuple(field.name for field in declared_fields(LogFormat))
# A data set's name is a flag of the command itself.
_PROTOCOL = tuple(field.name for field in declared_fields(Settings) if field.name != "dataset")

_DEFAULTS = {
    field.name: field.default for cls in (LogFormat, Settings) for field in declared_fields(cls)
}
# The flags of raw logs other than --input.
PART_INPUTS = {
    "validation_input": "raw logs of the validation part, with --test_input",
    "test_input": "raw logs of the test part: --input is train then, and no date separates them",
}
_INPUTS = ("input", *PART_INPUTS)


@dataclasses.dataclass(frozen=True)
class Preparation:
    """A data set as a command line names it, and its preparation.

    Attributes:
      dataset: A name in `SOURCES`, or `CUSTOM`.
      data_dir: The data set directory, or its URL.
      is_explicit: Whether the user named `data_dir`; then a finished data set
        there is used whatever its name and fraction.
      raw_dir: Directory that is searched for raw files.
      inputs: Raw files instead of the one in `raw_dir`, by the flag that names them; a
        finished data set is then checked against them.
      spec: The YAML spec of a custom log.
      given: Settings of the log's format and of the protocol, by name.
      overwrite: Whether to replace another data set in `data_dir`.
    """

    dataset: str
    data_dir: Location
    is_explicit: bool
    raw_dir: Path
    inputs: Mapping[str, Sequence[Location]] = dataclasses.field(default_factory=dict)
    spec: Path | None = None
    given: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    overwrite: bool = False

    @classmethod
    def from_flags(cls, flags: argparse.Namespace) -> "Preparation":
        """Take the flags of `add_flags` and of `hln_tf.training.run_flags.parse`.

        Raises:
          UsageError: They do not go together.
        """
        given = {n: v for n, v in vars(flags).items() if n in flags.preparation_settings}
        has_format = [name for name in _FORMAT if name in given]
        inputs = {name: vars(flags)[name] for name in _INPUTS if vars(flags)[name]}
        if flags.dataset == CUSTOM:
            if bool(flags.spec or has_format) < bool(inputs) or bool(flags.spec) > bool(inputs):
                raise UsageError(
                    f"--dataset {CUSTOM} takes --spec and --input together, or --input and flags "
                    f"of the log's format, such as --session, --time and --item"
                )
        elif flags.spec or has_format:
            flag = "--spec" if flags.spec else flag_name(has_format[0])
            raise UsageError(
                f"{flag} goes with --dataset {CUSTOM}, but --dataset is {flags.dataset}"
            )
        if _normal("validation_fraction", given.get("validation_fraction", "1")) == [0]:
            raise UsageError(
                f"--validation_fraction is {given['validation_fraction']}, expected more than 0: "
                f"the validation part chooses the epoch"
            )
        return cls(
            dataset=flags.dataset,
            data_dir=flags.data_dir or Path("data") / default_name(flags.dataset, flags.input),
            is_explicit=flags.data_dir is not None,
            raw_dir=flags.raw_dir,
            inputs=inputs,
            spec=flags.spec,
            given=given,
            overwrite=flags.overwrite,
        )

    @property
    def name(self) -> str:
        """The name below `runs` for the data set: a custom log's is that of its directory."""
        return name_of(self.data_dir) if self.dataset == CUSTOM else self.dataset

    def ensure(self) -> Manifest:
        """Read the manifest of the data set; preprocess its raw log first if need be.

        Raises:
          UsageError: As for `ensure_all`.
          HlnError: As for `ensure_all`, or there are several data sets.
        """
        found = self.ensure_all()
        if len(found) > 1:
            raise self._several(found)
        return next(iter(found.values()))

    def ensure_all(self) -> dict[Location, Manifest]:
        """Read the manifest of the data set, or those of several cut dates, by directory.

        The raw log is preprocessed first if need be; that of the sample is generated where
        it is missing.

        Raises:
          UsageError: A setting is not that of the data set.
          HlnError: There is neither a data set nor a raw file, or the data set in
            the default directory is another one, or the preprocessing failed.
        """
        fraction = self.given.get("train_fraction")
        if not self.is_explicit and self.dataset != CUSTOM and fraction:
            expected = SOURCES[self.dataset].train_fraction
            if _normal("train_fraction", fraction) != _normal("train_fraction", expected):
                raise UsageError(
                    f"--train_fraction is {fraction}, but {self.dataset} names {expected}: name "
                    f"the directory of another data set with --data_dir"
                )
        again = self.overwrite and self.given and self.dataset != CUSTOM
        if self.inputs or again or not find_data_sets(self.data_dir):
            self._preprocess()
        directories = find_data_sets(self.data_dir) or [self.data_dir]
        found = {path: Manifest.read(path) for path in directories}
        cuts = [manifest.settings.get("test_from") for manifest in found.values()]
        if self.data_dir not in found and cuts != [name_of(path) for path in found]:
            raise self._several(found)
        for path, manifest in found.items():
            if not self.is_explicit:
                self._check_dataset(manifest, path)
            self._check_given(manifest, path, several=len(found) > 1)
        return found

    def _several(self, found: Mapping[Location, Manifest]) -> HlnError:
        return HlnError(
            f"{self.data_dir} holds several data sets: name one of them, such as --data_dir "
            f"{next(iter(found))}, without --spec and --input"
        )

    def _check_dataset(self, manifest: Manifest, directory: Location) -> None:
        """Raise an error where a default directory holds another data set than its name says."""
        remedy = "remove it, or name the directory to use with --data_dir"
        if manifest.dataset != self.dataset:
            raise HlnError(
                f"{directory} holds the data set {manifest.dataset!r}, expected "
                f"{self.dataset!r}: {remedy}"
            )
        if self.dataset == CUSTOM:
            return
        expected = SOURCES[self.dataset].train_fraction
        fraction = manifest.settings.get("train_fraction", expected)
        if fraction != expected:
            raise HlnError(
                f"{directory} holds the last {fraction} of train, expected {expected}: {remedy}"
            )

    def _check_given(self, manifest: Manifest, directory: Location, several: bool) -> None:
        """Raise an error where the data set was prepared with other settings than are given."""
        recorded = {"separator": manifest.separator, **(manifest.settings.get("log") or {})}
        recorded |= {
            name: manifest.settings[name] for name in _PROTOCOL if name in manifest.settings
        }
        for name, value in self.given.items():
            if several and name == "test_from":
                continue
            found = recorded.get(name, _DEFAULTS[name])
            if _normal(name, value) != _normal(name, found):
                raise UsageError(
                    f"{flag_name(name)} is {value!r}, but {directory} was prepared with "
                    f"{found!r}: leave the flag out, or prepare another --data_dir"
                )

    def _raw_file(self) -> Path:
        if self.dataset == CUSTOM:
            raise HlnError(
                f"there is no prepared data set in {self.data_dir}: give a log of your own with "
                f"--input and say with --spec how it is written, or name a prepared directory with "
                f"--data_dir"
            )
        source = SOURCES[self.dataset]
        candidates = [self.raw_dir / source.file, self.raw_dir / f"{source.file}.gz"]
        raw = next((path for path in candidates if path.is_file()), None)
        if raw is None and source.generator:
            arguments = [part.format(self.raw_dir) for part in source.generator]
            _run(arguments, f"writing {candidates[0]}")
            return candidates[0]
        if raw is None:
            download = ["python", "-m", "beam_preprocess.download", source.download]
            download += ["--raw_dir", str(self.raw_dir)]
            raise HlnError(
                f"there is no prepared data set in {self.data_dir} and no raw file "
                f"{candidates[0]} (or {source.file}.gz): download it with {shlex.join(download)}, "
                f"or name the directory that has it with --raw_dir, or that of a prepared data set "
                f"with --data_dir"
            )
        return raw

    def _preprocess(self) -> None:
        inputs = self.inputs or {"input": [self._raw_file()]}
        # By its name here, so that messages name a flag of the command at hand.
        arguments = ["--dataset", self.dataset, "--data_dir", str(self.data_dir)]
        for name, paths in inputs.items():
            arguments += [f"--{name}", *map(str, paths)]
        arguments += ["--spec", str(self.spec)] if self.spec else []
        arguments += as_arguments(self.given)
        arguments += ["--overwrite"] if self.overwrite else []
        named = describe_files([path for part in inputs.values() for path in part])
        _run(["beam_preprocess", *arguments], f"preparing {self.data_dir} from {named}")


def add_flags(parser: Parser) -> None:
    """Add the flags of a log's format and of its protocol, for a command that prepares it.

    Those of the command's own that have the same names, such as a model's, come first.
    """
    for name, help_text in PART_INPUTS.items():
        parser.add_argument(f"--{name}", nargs="+", type=as_location, metavar="RAW", help=help_text)
    title = f"format of a log of your own (--dataset {CUSTOM})"
    of_format = add_settings(parser, LogFormat, title, unless_taken=True)
    title = "protocol, where a data set is prepared (defaults: those of the data set)"
    of_protocol = add_settings(parser, Settings, title, only=_PROTOCOL, unless_taken=True)
    parser.set_defaults(preparation_settings=[*of_format, *of_protocol])


def default_name(dataset: str, inputs: Sequence[Location]) -> str:
    """Return the name of the default directory of a data set: that of the log if it is custom."""
    if dataset != CUSTOM or not inputs:
        return dataset
    paths = [Path(str(path).rpartition("://")[2]) for path in inputs]
    first = min(paths, key=lambda path: path.name)
    for part in (first.name.partition(".")[0], first.resolve().parent.name):
        if stem := re.sub(r"[^\w-]+", "-", part).strip("-"):
            return f"{CUSTOM}-{stem}"
    return CUSTOM


def _normal(name: str, value: Any) -> Any:
    """Return a value in one of its notations."""
    if name == "separator":
        return read_separator(value)
    if name.endswith("_fraction"):
        try:
            return [Fraction(each) for each in str(value).split(",")]
        except (ValueError, ZeroDivisionError):
            return value
    return list(value) if isinstance(value, tuple) else value


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
