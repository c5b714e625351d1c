"""Messages and help name flags of the command at hand.

A message names a flag as it is, or an argument in backticks, which a command shows as the flag of
that name.
"""

import ast
import contextlib
import functools
import io
import re
from importlib import import_module
from pathlib import Path

import pytest

from hln_tf.models.registry import MODELS

ROOT = Path(__file__).parents[1]
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z_]*")
ARGUMENT = re.compile(r"`([a-z_]+)`")

PREPARE, TRAIN, SEARCH = "beam_preprocess.__main__", "hln_tf.train", "tuning.search"
PICTURES = [f"hln_tf.visualize {each}" for each in ("retention", "session", "embeddings")]
SAMPLE = [f"beam_preprocess.sample.__main__ {each}" for each in ("generate", "optimum", "groups")]
OTHERS = [f"hln_tf.{each}" for each in ("evaluate", "recommend", "report", "compare")]
# The commands that reach the modules below a path, the longest path first.
REACHED_BY = {
    "beam_preprocess/download": ["beam_preprocess.download.__main__"],
    "beam_preprocess/generate.py": ["beam_preprocess.generate"],
    "beam_preprocess/report.py": ["beam_preprocess.report"],
    "beam_preprocess/sample": SAMPLE,
    "beam_preprocess/__main__.py": [PREPARE],
    # Of Beam's runners, which training does not choose.
    "beam_preprocess/runners.py": [PREPARE],
    "beam_preprocess/on_demand.py": [TRAIN, SEARCH],
    "beam_preprocess": [PREPARE, TRAIN, SEARCH],
    "hln_tf/evaluate.py": ["hln_tf.evaluate"],
    "hln_tf/recommend.py": ["hln_tf.recommend"],
    "hln_tf/report.py": ["hln_tf.report"],
    "hln_tf/visualize.py": PICTURES,
    "hln_tf": [TRAIN, *(f"{TRAIN} --model {name}" for name in MODELS), *OTHERS],
    "tuning": [SEARCH],
}
# Of several pictures, models and samples a message is about one, which has the flag.
OF_ONE = ("beam_preprocess/sample", "hln_tf/visualize.py", "hln_tf")
# Where arguments in backticks are settings of commands; elsewhere they are Python's alone.
SETTINGS = ("beam_preprocess", "tuning", "hln_tf/training", "hln_tf/analysis", "hln_tf/data/p")
# The flags of git and Beam, and arguments of Python in the modules above.
OTHERS_FLAGS = {
    *("--abbrev", "--always", "--dirty", "--error", "--exclude", "--logdir", "--no"),
    *("--direct_num_workers", "--direct_running_mode"),
}
PYTHON_ARGUMENTS = {"data", "fit", "name", "output", "part_files", "spec", "workers"}


@functools.cache
def flags(command):
    """The flags that `--help` of a command lists."""
    module, *arguments = command.split()
    more = ["--dataset", "sample"] if module in (TRAIN, SEARCH) else []
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        import_module(module).main([*arguments, *more, "--help"])
    return frozenset(re.findall(r"--[a-z][a-z_]*(?:-[a-z_]+)?", out.getvalue()))


def known_flags(name):
    place = max((each for each in REACHED_BY if name.startswith(each)), key=len)
    of_commands = [flags(command) for command in REACHED_BY[place]]
    if place in OF_ONE:
        return frozenset.union(*of_commands)
    return frozenset.intersection(*of_commands)


def texts(path):
    """Line numbers and texts of a module, without its docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in docstrings:
                yield node.lineno, node.value


def modules():
    for package in ("beam_preprocess", "hln_tf", "tuning"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT))


@pytest.mark.parametrize("name", list(modules()))
def test_messages_name_flags_of_the_command_at_hand(name):
    found = []
    for line, text in texts(ROOT / name):
        # A command line within a message has flags of its own.
        named = FLAG.findall(re.sub(r"python -m .*", "", text, flags=re.S))
        if name.startswith(SETTINGS):
            arguments = set(ARGUMENT.findall(text)) - PYTHON_ARGUMENTS
            named += [f"--{argument}" for argument in arguments]
        found += [
            f"{name}:{line}: {flag}" for flag in set(named) - OTHERS_FLAGS - known_flags(name)
        ]
    assert not found, "\n".join(found)


def test_flags_are_read_from_the_help():
    assert {"--learning_rate", "--num_groups", "--min_item_count"} <= flags(TRAIN)
    assert "--neighbors" in flags(f"{TRAIN} --model sknn") - flags(TRAIN)
