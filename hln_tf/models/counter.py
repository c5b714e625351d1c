"""Models that count sessions instead of training by gradients."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from hln_tf.data.sessions import Sessions
from hln_tf.models.base import SessionScorer, check_callbacks


class SessionCounter(SessionScorer):
    """A model that counts sessions instead of training by gradients.

    `fit` takes sessions and has one epoch; the model is compiled from the start.
    """

    def __init__(self, num_items: int, **arguments: Any) -> None:
        super().__init__(num_items, **arguments)
        self.compile()

    def fit(self, x: Any = None, *, validation_data: Any = None, **kwargs: Any) -> Any:
        """Count sessions.

        Args:
          x: `Sessions`, or a list with each session's item indices.
          validation_data: Examples to evaluate afterwards, as for `evaluate`.
          **kwargs: Of `keras.Model.fit`: `callbacks` see one epoch, without batches;
            others are ignored.

        Returns:
          A Keras history with the validation's metrics, if there is validation.

        Raises:
          TypeError: `x` is not a collection of sessions, or a callback is Keras 3's.
          ValueError: A callback would minimise Recall or MRR.
        """
        check_callbacks(kwargs.get("callbacks"))
        if not isinstance(x, Sessions):
            if isinstance(x, tf.data.Dataset | Mapping | np.ndarray | str) or x is None:
                raise TypeError(
                    f"{type(self).__name__} counts whole sessions: pass `Sessions` or a list with "
                    f"each session's item indices to `fit`, received {type(x).__name__}"
                )
            x = Sessions.from_lists(x)
        callbacks = keras.callbacks.CallbackList(
            kwargs.get("callbacks"), add_history=True, model=self, epochs=1, verbose=0
        )
        callbacks.on_train_begin()
        callbacks.on_epoch_begin(0)
        self.fit_counts(x)
        logs = {}
        if validation_data is not None:
            metrics = self.evaluate(validation_data, return_dict=True, verbose=0)
            logs = {f"val_{name}": value for name, value in metrics.items()}
        callbacks.on_epoch_end(0, logs)
        callbacks.on_train_end(logs)
        return self.history
