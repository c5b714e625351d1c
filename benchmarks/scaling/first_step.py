"""A training with the flags of `hln_tf.train` that ends after one step, for `benchmarks.start`."""

import os
import sys
from unittest import mock

from hln_tf import train
from hln_tf.common import cli
from hln_tf.common.interrupt import StopOnSignal


def end(_: StopOnSignal) -> None:
    """End the process at once, without a checkpoint."""
    os._exit(0)


if __name__ == "__main__":
    with mock.patch.object(StopOnSignal, "check", end):  # a training checks after each step
        sys.exit(cli.run(train.main))
