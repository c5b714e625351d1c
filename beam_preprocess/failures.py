"""Carries errors that a user can mend out of Beam's workers in one piece.

A runner hands on an error of a worker as text inside a `RuntimeError`, wrapped
in tracebacks, so the sentence and the exit code travel as a marked, encoded
string that is found again in whatever comes out.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam

from beam_preprocess import progress
from hln_tf.common.cli import describe_os_error
from hln_tf.common.errors import HlnError, UsageError

_MARKED = re.compile("<hln:([0-9a-f]+)>")


class Step(beam.DoFn):
    """A generator function as a pipeline step: says what is being done, marks its errors.

    Args:
      function: A module-level generator function.
      stage: What it does, for the progress line.
    """

    def __init__(self, function: Callable[..., Iterator[Any]], stage: str) -> None:
        self.function = function
        self.stage = stage

    def process(self, element: Any, *arguments: Any) -> Iterator[Any]:
        """Yields what the function yields for an element and side inputs."""
        progress.enter(self.stage)
        try:
            yield from self.function(element, *arguments)
        except HlnError as error:
            raise marked(str(error), error.exit_code) from error
        except OSError as error:
            raise marked(describe_os_error(error), HlnError.exit_code) from error


class Merge(Step):
    """A step on a list of all parts, which comes as the first side input."""

    def process(self, element: None, *arguments: Any) -> Iterator[Any]:
        """Yields what the function yields for the list and the other side inputs."""
        yield from super().process(*arguments)


def marked(message: str, exit_code: int) -> RuntimeError:
    """An error that `unmarked` recognises even as part of a longer text."""
    text = json.dumps([message, exit_code]).encode()
    return RuntimeError(f"{message} <hln:{text.hex()}>")


def unmarked(error: BaseException) -> HlnError | None:
    """The error inside what a runner raised, or `None` where there is none."""
    found = _MARKED.search(str(error))
    if not found:
        return None
    message, exit_code = json.loads(bytes.fromhex(found[1]))
    return UsageError(message) if exit_code == UsageError.exit_code else HlnError(message)
