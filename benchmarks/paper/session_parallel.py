"""Sessions side by side, as GRU4Rec's authors trained it in 2016. Imports no TensorFlow."""

import dataclasses

import numpy as np
import numpy.typing as npt

from hln_tf.common.errors import HlnError
from hln_tf.common.settings import checked, setting
from hln_tf.data.sessions import Sessions

Array = npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True)
class SessionParallelSettings:
    """The authors' settings for Yoochoose, by default."""

    units: int = setting(100, "size of the state", minimum=1)
    batch_size: int = setting(50, "sessions side by side", minimum=2)
    dropout: float = setting(0.5, "fraction of the state that is dropped", minimum=0.0, below=1.0)
    learning_rate: float = setting(0.01, "of Adagrad", above=0.0)
    epochs: int = setting(10, "passes over the train sessions", minimum=1)
    seed: int = setting(1, "fixes the initial weights and the dropout", minimum=0)

    def __post_init__(self) -> None:
        checked(self)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The clicks that the sessions side by side read at each step.

    Attributes:
      items: int32 [steps, batch], the click that is read.
      targets: int32 [steps, batch], the one after it.
      is_first: bool [steps, batch], whether a new session begins.
    """

    items: Array
    targets: Array
    is_first: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, sessions: Sessions, batch_size: int) -> "Schedule":
        """Lay sessions out in their order; a place takes the next one when its own ends.

        As in the authors' code, the epoch ends when no session is left to take.

        Raises:
          HlnError: There are too few sessions for all places.
        """
        lengths = sessions.lengths - 1  # steps of each session
        free = np.zeros(batch_size, np.int64)  # the step at which each place is free
        columns: list[list[int]] = [[] for _ in range(batch_size)]
        for session, steps in enumerate(lengths):
            place = int(np.argmin(free))
            columns[place].append(session)
            free[place] += steps
        steps = int(free.min())
        if not steps:
            raise HlnError(
                f"{len(sessions):,} sessions are too few for a `batch_size` of {batch_size}: each "
                f"place needs one of two or more clicks"
            )
        items = np.empty([steps, batch_size], np.int32)
        targets = np.empty_like(items)
        is_first = np.zeros(items.shape, bool)
        for place, chosen in enumerate(columns):
            clicks = np.concatenate(
                [
                    np.arange(sessions.offsets[each], sessions.offsets[each + 1] - 1)
                    for each in chosen
                ]
            )[:steps]
            items[:, place], targets[:, place] = sessions.items[clicks], sessions.items[clicks + 1]
            starts = np.cumsum(np.append(0, lengths[chosen]))
            is_first[starts[starts < steps], place] = True
        return cls(items, targets, is_first)
