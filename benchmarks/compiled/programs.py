"""Programs in a directory: what they take, what they return and what it must equal.

Arguments are sampled from their names, so a directory holds no weights and a
machine that runs its programs needs NumPy alone to make them. Imports neither
TensorFlow nor JAX.
"""

import dataclasses
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MANIFEST = "manifest.json"
FORMAT = 1
# Steps that lead to the reference; of training each continues from the one before.
CHECKED_STEPS = 3
# Largest deviation from the reference: of numbers relative to the largest number of the output,
# of item indices the share that differs, as near ties may change places.
TOLERANCE, INDEX_TOLERANCE = 1e-4, 5e-3
# Arrays above the first size are compared by their norm and as many entries as the second.
_WHOLE, _ENTRIES = 32_768, 512


class ProgramError(Exception):
    """A flag or a directory of programs cannot be used; the message is one sentence.

    Args:
      message: The sentence.
      exit_code: That of the command.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclasses.dataclass(frozen=True)
class Argument:
    """An array that a program takes.

    Attributes:
      name: Its name; arguments of one name, shape and distribution are equal in
        all programs.
      shape: Its shape.
      dtype: Name of its NumPy type.
      values: Its distribution: `uniform` and `integers` from `low` to `high`,
        `sessions` as `integers` but padded with 0 to random lengths, `logistic`
        with mean `low` and scale `high`, `constant` `low`, or `stored`, which is none:
        the array is in a file.
      low: See `values`.
      high: See `values`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    values: str
    low: float = 0.0
    high: float = 1.0

    def array(self) -> npt.NDArray[Any]:
        """Sample the array; `RandomState` gives the same one in every version of NumPy."""
        random = _random(self.name)
        if self.values == "constant":
            return np.full(self.shape, self.low, self.dtype)
        if self.values in ("uniform", "logistic"):
            return getattr(random, self.values)(self.low, self.high, self.shape).astype(self.dtype)
        array = random.randint(int(self.low), int(self.high) + 1, self.shape)
        if self.values == "sessions":
            lengths = random.randint(1, self.shape[1] + 1, self.shape[:1])
            lengths[0] = self.shape[1]
            array[np.arange(self.shape[1]) >= lengths[:, None]] = 0
        return array.astype(self.dtype)


@dataclasses.dataclass(frozen=True)
class Output:
    """An array that a program returns.

    Attributes:
      name: Its name.
      is_index: Whether its entries are item indices.
      argument: Position of the argument that it replaces in the next step, or None.
    """

    name: str
    is_index: bool = False
    argument: int | None = None


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled step.

    Attributes:
      name: Its name; the module is the file NAME.mlirbc.
      reference: File with the results of the CPU.
      precision: `float32`; `tf32`, which rounds the factors of matrix products;
        `bfloat16`, which rounds those of the softmax further.
      examples: Examples in a step.
      operations: Floating-point operations of its matrix products, padding included.
      arguments: What it takes.
      outputs: What it returns.
    """

    name: str
    reference: str
    precision: str
    examples: int
    operations: float
    arguments: tuple[Argument, ...]
    outputs: tuple[Output, ...]

    @property
    def file(self) -> str:
        """Name of its module's file."""
        return f"{self.name}.mlirbc"

    @property
    def steps(self) -> int:
        """Steps that lead to the reference."""
        return CHECKED_STEPS if any(one.argument is not None for one in self.outputs) else 1

    def next_arguments(self, arguments: Sequence[Any], results: Sequence[Any]) -> list[Any]:
        """Replace the arguments that a step updates by its results."""
        replaced = list(arguments)
        for output, result in zip(self.outputs, results, strict=True):
            if output.argument is not None:
                replaced[output.argument] = result
        return replaced

    def deviation(
        self, results: Sequence[npt.NDArray[Any]], reference: Mapping[str, npt.NDArray[Any]]
    ) -> tuple[float, str]:
        """Compare the results of the last step with the reference.

        Returns:
          The largest deviation as a multiple of the one that is allowed, and the
          name of its output.
        """
        found = []
        for output, result in zip(self.outputs, results, strict=True):
            for key, value in probe(output.name, result).items():
                expected = reference[key]
                if output.is_index:
                    ratio = float(np.mean(value != expected)) / INDEX_TOLERANCE
                else:
                    value, expected = (one.astype(np.float64) for one in (value, expected))
                    difference = np.abs(value - expected)
                    scale = np.max(np.abs(expected), initial=np.finfo(np.float32).tiny)
                    ratio = float(np.max(difference) / scale) / TOLERANCE
                found.append((ratio if np.isfinite(ratio) else np.inf, output.name))
        return max(found)


def probe(name: str, array: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """Return what represents an array in a reference.

    Args:
      name: Its name, which chooses the entries of a large array.
      array: The array.
    """
    flat = np.asarray(array).reshape(-1)
    if flat.size <= _WHOLE:
        return {name: flat}
    entries = flat[_random(name).randint(flat.size, size=_ENTRIES)]
    norm = np.linalg.norm(flat.astype(np.float64))
    return {name: entries, f"{name}, norm": np.array([norm])}


def write_manifest(directory: Path, about: Mapping[str, Any], programs: Sequence[Program]) -> None:
    """Write the list of a directory's programs.

    Args:
      directory: The directory.
      about: What the programs were made from.
      programs: The programs.
    """
    content = {
        "format": FORMAT,
        **about,
        "programs": [dataclasses.asdict(program) for program in programs],
    }
    (directory / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def read_manifest(directory: Path) -> tuple[dict[str, Any], list[Program]]:
    """Read the list of a directory's programs.

    Returns:
      What the programs were made from, and the programs.

    Raises:
      ProgramError: There is no list, or it cannot be read.
    """
    path = directory / MANIFEST
    try:
        about = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ProgramError(
            f"{path} does not exist: write programs with python -m benchmarks.accelerator "
            f"--emit {directory}"
        ) from None
    except (OSError, ValueError) as error:
        raise ProgramError(f"{path} cannot be read: {error}") from None
    try:
        if about.pop("format") != FORMAT:
            raise ValueError("another version of this command wrote it")
        return about, [program_of(entry) for entry in about.pop("programs")]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProgramError(
            f"{path} is no list of programs ({error}): write it again with python -m "
            f"benchmarks.accelerator --emit {directory}"
        ) from None


def program_of(entry: dict[str, Any]) -> Program:
    """Make a program from what `dataclasses.asdict` made of it, as JSON."""
    arguments = tuple(
        Argument(**{**one, "shape": tuple(one["shape"])}) for one in entry.pop("arguments")
    )
    outputs = tuple(Output(**one) for one in entry.pop("outputs"))
    return Program(**entry, arguments=arguments, outputs=outputs)


def _random(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))
