"""Models that count sessions instead of training by gradients."""

import warnings
from typing import Any

import numpy as np
import tf_keras as keras

from hln_tf.data.sessions import Sessions
from hln_tf.models.base import SessionScorer, check_callbacks
from hln_tf.models.batches import Batch, epoch, sessions_of_blocks, to_sessions


class SessionCounter(SessionScorer):
    """A model that counts sessions instead of training by gradients.

    `fit` takes sessions and has one epoch; the model is compiled from the start.
    """

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)
        self.compile()

    def fit(
        self, x: Any = None, y: Any = None, *, validation_data: Any = None, **kwargs: Any
    ) -> Any:
        """Count sessions.

        Args:
          x: A list with each session's item indices, `Sessions`, or examples as
            other models take them: int [batch, time] padded with 0, a dictionary
            or a `tf.data` data set of batches. An example's target is counted as
            the session's last click. Sessions are whole: the prefixes of one
            session would count its first clicks several times.
          y: The targets of an array or a list, int [batch], or None.
          validation_data: Examples to evaluate afterwards, as for `evaluate`.
          **kwargs: Of `keras.Model.fit`: `callbacks` see one epoch, without batches;
            others are ignored.

        Returns:
          A Keras history with the validation's metrics, if there is validation.

        Raises:
          TypeError: `x` is not a collection of sessions, or a callback is Keras 3's.
          ValueError: A callback would minimise Recall or MRR, or an item index is out
            of range.
        """
        check_callbacks(kwargs.get("callbacks"))
        callbacks = keras.callbacks.CallbackList(
            kwargs.get("callbacks"), add_history=True, model=self, epochs=1, verbose=0
        )
        sessions = self._sessions(x, y)
        callbacks.on_train_begin()
        callbacks.on_epoch_begin(0)
        self.fit_counts(sessions)
        logs = {}
        if validation_data is not None:
            items, target, weight = keras.utils.unpack_x_y_sample_weight(validation_data)
            metrics = self.evaluate(
                items, target, sample_weight=weight, return_dict=True, verbose=0
            )
            logs = {f"val_{name}": value for name, value in metrics.items()}
        callbacks.on_epoch_end(0, logs)
        callbacks.on_train_end(logs)
        return self.history

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Rank targets; as `keras.Model.evaluate`, with a warning before any `fit`.

        Args:
          *args: Those of `keras.Model.evaluate`.
          **kwargs: Those of `keras.Model.evaluate`.
        """
        if not np.any(self.item_counts):
            name = type(self).__name__
            warnings.warn(f"{name} has counted no click: call `fit` first", stacklevel=2)
        return super().evaluate(*args, **kwargs)

    def _sessions(self, x: Any, y: Any) -> Sessions:
        """Convert what `fit` is given to sessions, with the targets as their last clicks."""
        if isinstance(x, list | tuple) and y is not None:
            x = [[*session, target] for session, target in zip(x, np.ravel(y), strict=True)]
            y = None
        batches = None if isinstance(x, list | tuple | Sessions) else epoch(x, y)
        if batches is None:
            return to_sessions(x, self.num_items)
        return sessions_of_blocks(map(_whole, batches), self.num_items)


def _whole(batch: Batch) -> np.ndarray:
    """Append the targets of a batch, if it has any, to its items."""
    items = np.asarray(batch.get("items"))
    if "target" not in batch or items.ndim != 2:
        return items
    return np.concatenate([items, np.reshape(batch["target"], [-1, 1])], axis=1)
