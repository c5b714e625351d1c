"""TensorBoard's event files, read with its own reader."""

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator
from tensorboard.util.tensor_util import make_ndarray


def read(directory):
    """Return a reader of a directory's event files with all of their content."""
    return EventAccumulator(str(directory), size_guidance={TENSORS: 0}).Reload()


def tensors(directory):
    """Return pairs of step and array by tag."""
    events = read(directory)
    return {
        tag: [(event.step, make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }


def scalars(directory):
    """Return pairs of step and value by tag."""
    return {
        tag: [(step, float(value)) for step, value in pairs]
        for tag, pairs in tensors(directory).items()
        if all(np.ndim(value) == 0 and value.dtype.kind == "f" for _, value in pairs)
    }
