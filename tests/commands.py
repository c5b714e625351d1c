"""Commands run as a user would run them, most of them in this process."""

import contextlib
import dataclasses
import hashlib
import io
import logging
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
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    def sentence(self, code=1):
        """Return the error, after a check of the exit code and that it is one line at the end."""
        *before, last = self.err.splitlines()
        assert last.startswith("error: "), self.err
        assert not any(line.startswith(("error: ", "Traceback")) for line in before), self.err
        assert self.code == code, self.err
        return last.removeprefix("error: ")


def run(module, *arguments):
    """Run `python -m module` in this process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.run(import_module(module).main, [str(argument) for argument in arguments])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Outcome(code, out.getvalue(), err.getvalue())


def train(data, path, *flags):
    """Train on a data set directory of the generated log's form; see `run`."""
    return run("hln_tf.train", "--dataset", "sample", "--data_dir", data, "--workdir", path, *flags)


def prepare(*arguments):
    """Run `python -m beam_preprocess` in this process, without what it changes in the process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        return run("beam_preprocess.__main__", *arguments)
    finally:
        logging.disable(logging.NOTSET)
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        if visible is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = visible


def start(module_or_code, *arguments, err=subprocess.PIPE):
    """Start `python -m module`, or Python code of more than one line, as a process."""
    how = "-c" if "\n" in module_or_code else "-m"
    command = [sys.executable, how, module_or_code, *map(str, arguments)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=err, text=True
    )


def finish(process):
    """Wait for a process that `start` started."""
    out, err = process.communicate()
    return Outcome(process.returncode, out, err or "")


def checkpoint_number(directory):
    """Return the number of the newest checkpoint in a directory, 0 if there is none."""
    try:
        first = (directory / "checkpoint").read_text().splitlines()[0]
        return int(first.split("ckpt-")[1].strip('"'))
    except (OSError, IndexError, ValueError):
        return 0


def only_checkpoint(directory):
    """Return the path of a directory's checkpoint, after a check that it contains no other file."""
    (index,) = directory.glob("*.index")
    found = {path.name for path in directory.iterdir()}
    assert found == {"checkpoint", index.name, f"{index.stem}.data-00000-of-00001"}
    return index.with_suffix("")


def signal_when_saved(directory, number, signal_number):
    """Send this process a signal once the newest checkpoint has a number."""

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
    """Return the files below a directory with their content."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def digests(directory):
    """Return the SHA-256 of the files below a directory."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in tree(directory).items()}


def weights(directory):
    """Return a model's arrays by name, from the newest checkpoint in a directory."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(directory))
    names = reader.get_variable_to_shape_map()
    return {name: reader.get_tensor(name) for name in names if name.startswith("model/")}
