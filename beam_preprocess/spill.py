"""Keeps what the steps hand on in files where the runner would keep it in memory."""

import dataclasses
import pickle
import uuid
from pathlib import Path
from typing import TypeAlias, TypeVar

from hln_tf.common.errors import HlnError

T = TypeVar("T")

_SMALL = 1 << 14  # bytes that a runner may hold itself


@dataclasses.dataclass(frozen=True)
class Spilled:
    """A value that stands in a file."""

    path: str


Held: TypeAlias = T | Spilled


@dataclasses.dataclass(frozen=True)
class Spill:
    """Where large values go between two steps.

    A runner on many machines has a shuffle of its own and may run a step
    twice, so it gets the values themselves.

    Attributes:
      directory: Where to write them; None hands on the values themselves.
    """

    directory: str | None = None

    def put(self, value: T) -> Held[T]:
        """The value, or a `Spilled` in its place.

        Raises:
          HlnError: The value cannot be written.
        """
        if self.directory is None:
            return value
        content = pickle.dumps(value, protocol=5)
        if len(content) < _SMALL:
            return value
        path = Path(self.directory) / uuid.uuid4().hex
        try:
            path.write_bytes(content)
        except OSError as error:
            raise unwritable(f"{path.parent}, for what does not fit in memory,", error) from None
        return Spilled(str(path))


def peek(value: Held[T]) -> T:
    """What was put; it stays."""
    if not isinstance(value, Spilled):
        return value
    with open(value.path, "rb") as file:
        return pickle.load(file)


def take(value: Held[T]) -> T:
    """What was put; its file is removed, so that only one step may take it."""
    taken = peek(value)
    if isinstance(value, Spilled):
        Path(value.path).unlink()
    return taken


def unwritable(what: str, error: OSError) -> HlnError:
    """The error where a file of the data set, or on the way to it, cannot be written."""
    return HlnError(
        f"{what} cannot be written ({error.strerror}): "
        "free some space and run the same command again"
    )
