"""The commands of the packages, and the parsers that they build."""

import argparse
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).parents[2]
PACKAGES = ("beam_preprocess", "hln_tf", "tuning", "serving")


class _Found(BaseException):
    """A parser, on its way out of the command that built it."""


def commands(packages: Sequence[str] = PACKAGES) -> Iterator[str]:
    """Find the commands of some packages, as `python -m` takes them."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            if '\nif __name__ == "__main__":' in path.read_text("utf-8"):
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                yield name.removesuffix(".__main__")


def parser_of(command: str, arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser that a command builds.

    Args:
      command: Its name, as `python -m` takes it.
      arguments: Its arguments, on which flags may depend: those of a model, by `--model`.
    """

    def found(parser: argparse.ArgumentParser, file: object = None) -> None:
        raise _Found(parser)

    module = importlib.import_module(command)
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{command}.__main__")
    with mock.patch.object(argparse.ArgumentParser, "print_help", found):
        try:
            module.main(["--help", *arguments])
        except _Found as error:
            return error.args[0]
    raise TypeError(f"python -m {command} --help prints no help")
