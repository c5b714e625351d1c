"""Runs commands as a user would, most of them inside this process."""

import contextlib
import dataclasses
import io
import os
import signal
import subprocess
import sys
import threading
import time
from importlib import import_module
from pathlib import Path

from hln_tf.common import cli

TINY = ("--embedding_dim", "8", "--hidden_dim", "8", "--num_groups", "2")
ROOT = Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    def sentence(self, code=1):
        """The error, after a check that it is one line at the end and the exit code is right."""
        *before, last = self.err.splitlines()
        assert last.startswith("error: "), self.err
        assert not any(line.startswith(("error: ", "Traceback")) for line in before), self.err
        assert self.code == code, self.err
        return last.removeprefix("error: ")


def run(module, *arguments):
    """Runs `python -m module` in this process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.run(import_module(module).main, [str(argument) for argument in arguments])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Outcome(code, out.getvalue(), err.getvalue())


def start(module_or_code, *arguments, err=subprocess.PIPE):
    """Starts `python -m module`, or Python code that holds a line break, as a process."""
    how = "-c" if "\n" in module_or_code else "-m"
    command = [sys.executable, how, module_or_code, *map(str, arguments)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=err, text=True
    )


def finish(process):
    """Waits for a process that `start` began."""
    out, err = process.communicate()
    return Outcome(process.returncode, out, err or "")


def checkpoint_number(directory):
    """The number of the newest saved state in a directory, 0 where there is none."""
    try:
        first = (directory / "checkpoint").read_text().splitlines()[0]
        return int(first.split("ckpt-")[1].strip('"'))
    except (OSError, IndexError, ValueError):
        return 0


def signal_when_saved(directory, number, signal_number):
    """Sends this process a signal once a saved state has a number."""

    def watch():
        deadline = time.monotonic() + 120
        while checkpoint_number(directory) < number and time.monotonic() < deadline:
            time.sleep(0.005)
        if checkpoint_number(directory) >= number:
            os.kill(os.getpid(), signal_number)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def tree(directory):
    """The files below a directory with their content."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def weights(path):
    """The arrays of a checkpoint by name."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(path))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if not name.startswith("_CHECKPOINTABLE")
    }
