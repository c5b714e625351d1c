"""Files for the large values that steps pass on, which a runner would store in memory."""

import dataclasses
import pickle
import uuid
from pathlib import Path
from typing import TypeAlias, TypeVar

from hln_tf.common.errors import HlnError

T = TypeVar("T")

_SMALL = 1 << 14  # bytes that a runner may store itself


@dataclasses.dataclass(frozen=True)
class Spilled:
    """A value stored in a file."""

    path: str


MaybeSpilled: TypeAlias = T | Spilled


@dataclasses.dataclass(frozen=True)
class Spill:
    """Storage of large values between two steps.

    A runner on many machines has a shuffle of its own and may run a step
    twice, so it gets the values themselves.

    Attributes:
      directory: Directory for their files; None passes the values themselves on.
    """

    directory: str | None = None

    def put(self, value: T) -> MaybeSpilled[T]:
        """Store a value in a file if it is large.

        Returns:
          A `Spilled`, or the value itself.

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


def peek(value: MaybeSpilled[T]) -> T:
    """Load a value that was put, and leave its file."""
    if not isinstance(value, Spilled):
        return value
    with open(value.path, "rb") as file:
        return pickle.load(file)


def take(value: MaybeSpilled[T]) -> T:
    """Load a value that was put and remove its file, so that only one step may take it."""
    loaded = peek(value)
    if isinstance(value, Spilled):
        Path(value.path).unlink()
    return loaded


def unwritable(what: str, error: OSError) -> HlnError:
    """Return the error for a file of the data set, or a temporary one, that cannot be written."""
    return HlnError(
        f"{what} cannot be written ({error.strerror}): "
        "free some space and run the same command again"
    )
