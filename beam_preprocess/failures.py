"""Transport of errors that a user can fix out of Beam's workers.

A runner passes an error of a worker on as text inside a `RuntimeError`, wrapped
in tracebacks. So the message and the exit code are encoded in a marker, which is
searched for in the text that comes out.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam

from beam_preprocess import progress
from hln_tf.common.cli import describe_os_error
from hln_tf.common.errors import HlnError, UsageError

_MARKER = re.compile("<hln:([0-9a-f]+)>")


class Step(beam.DoFn):
    """A generator function as a pipeline step that reports its stage and encodes its errors.

    Args:
      function: A module-level generator function.
      stage: Its name in the progress line.
    """

    def __init__(self, function: Callable[..., Iterator[Any]], stage: str) -> None:
        self.function = function
        self.stage = stage

    def process(self, element: Any, *arguments: Any) -> Iterator[Any]:
        """Yield from the function for an element and side inputs."""
        progress.enter(self.stage)
        try:
            yield from self.function(element, *arguments)
        except HlnError as error:
            raise encode_error(str(error), error.exit_code) from error
        except OSError as error:
            raise encode_error(describe_os_error(error), HlnError.exit_code) from error


class Merge(Step):
    """A step on a list of all parts, which comes as the first side input."""

    def process(self, element: None, *arguments: Any) -> Iterator[Any]:
        """Yield from the function for the list and the other side inputs."""
        yield from super().process(*arguments)


def encode_error(message: str, exit_code: int) -> RuntimeError:
    """Return an error that `decode_error` recognises even as part of a longer text."""
    text = json.dumps([message, exit_code]).encode()
    return RuntimeError(f"{message} <hln:{text.hex()}>")


def decode_error(error: BaseException) -> HlnError | None:
    """Return the error inside what a runner raised, or `None` where there is none."""
    found = _MARKER.search(str(error))
    if not found:
        return None
    message, exit_code = json.loads(bytes.fromhex(found[1]))
    return UsageError(message) if exit_code == UsageError.exit_code else HlnError(message)
