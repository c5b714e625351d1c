import dataclasses
import errno
import json
import os
import platform
import signal
import subprocess
import sys

import pytest

from hln_tf.common import cli
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.interrupt import TrainingInterrupt
from hln_tf.common.settings import checked, setting


@dataclasses.dataclass(frozen=True)
class Settings:
    count: int = setting(3, "a count", minimum=1)
    share: float = setting(0.5, "100 % at most", above=0.0, maximum=1.0)
    colour: str = setting("red", "a colour", choices=("red", "blue"))
    flag: bool = setting(False, "a flag")
    limit: int | None = setting(None, "a limit, or none", minimum=1)

    def __post_init__(self) -> None:
        checked(self)


def make_parser(defaults=None):
    parser = cli.Parser(prog="python -m thing")
    parser.add_argument("--other")
    cli.add_settings(parser, Settings, "things", defaults)
    return parser


def parse(*arguments, base=None):
    return cli.settings_from(Settings, make_parser().parse_args(arguments), base)


# Flags


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--count", "0"], ["`count` is 0", "at least 1"]),
        (["--count", "many"], ["--count", "'many'", "int"]),
        (["--count", "3.0"], ["--count", "'3.0'", "int"]),
        (["--count"], ["--count", "expected one argument"]),
        (["--share", "nan"], ["`share` is nan", "more than 0.0 and at most 1.0"]),
        (["--colour", "green"], ["--colour", "'green'", "red", "blue"]),
        (["--flag", "yes"], ["unrecognized arguments: yes"]),
        (["--unknown-flag", "1"], ["unrecognized arguments: --unknown-flag 1"]),
        # A flag is never guessed from its beginning.
        (["--coun", "2"], ["unrecognized arguments: --coun 2"]),
    ],
)
def test_bad_flags_are_usage_errors_that_name_flag_and_value(arguments, words):
    with pytest.raises(UsageError) as caught:
        parse(*arguments)
    for word in words:
        assert word in str(caught.value)


def test_parser_errors_point_to_the_help():
    with pytest.raises(UsageError, match=r"\(see python -m thing --help\)$"):
        parse("--count", "many")


def test_every_field_has_its_flag():
    arguments = "--count 7 --share 1 --colour blue --flag --limit 2".split()
    expected = Settings(count=7, share=1.0, colour="blue", flag=True, limit=2)
    assert parse(*arguments) == expected


def test_flags_that_are_not_given_leave_base_and_defaults():
    assert parse() == Settings()
    assert parse("--other", "x", base={"count": 8, "flag": True}) == Settings(count=8, flag=True)
    assert parse("--count", "2", "--no-flag", base={"count": 8, "flag": True}) == Settings(count=2)
    assert vars(make_parser().parse_args([])) == {"other": None}


def test_help_names_range_choices_and_default():
    text = " ".join(make_parser({"count": 5}).format_help().split())
    for words in (
        "--count INT a count (at least 1; default: 5)",
        "--share FLOAT 100 % at most (more than 0.0 and at most 1.0; default: 0.5)",
        "--colour {red,blue} a colour (default: red)",
        "--flag, --no-flag a flag (default: False)",
        "--limit INT a limit, or none (at least 1)",
    ):
        assert words in text


# Exit codes


def raising(error):
    def main(arguments):
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (UsageError("--count is 0"), 2, "error: --count is 0\n"),
        (HlnError("x is damaged: write it again"), 1, "error: x is damaged: write it again\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (
            TrainingInterrupt(signal.SIGTERM),
            143,
            "stopped by SIGTERM; run the same command again to go on\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/x"),
            1,
            "error: runs/x: No space left on device; "
            "free some space and run the same command again\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "runs/x"),
            1,
            "error: runs/x: Permission denied; check the permissions\n",
        ),
        (
            OSError(errno.ENOTDIR, "Not a directory", "runs/x"),
            1,
            "error: runs/x: Not a directory\n",
        ),
        (OSError("no number, no name"), 1, "error: no number, no name\n"),
    ],
)
def test_errors_are_one_sentence_and_an_exit_code(error, code, text, capsys):
    assert cli.run(raising(error), []) == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", text)


def test_tensorflow_errors_that_users_can_fix_are_one_sentence(capsys):
    import tensorflow as tf

    full = tf.errors.ResourceExhaustedError(
        None, None, "{{function}} runs/x/events.v2; No space left on device [Op:Save]"
    )
    assert cli.run(raising(full), []) == 1
    assert capsys.readouterr().err == (
        "error: runs/x/events.v2: No space left on device; "
        "free some space and run the same command again\n"
    )
    memory = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
    assert cli.run(raising(memory), []) == 1
    assert "lower --batch_size" in capsys.readouterr().err
    library = "/lib/scann/scann_ops/cc/_scann_ops.so: undefined symbol: _ZN4absl12lts"
    assert cli.run(raising(tf.errors.NotFoundError(None, None, library)), []) == 1
    assert "scann was built for another TensorFlow" in capsys.readouterr().err


def test_defects_are_raised():
    import tensorflow as tf

    for defect in (ZeroDivisionError(), tf.errors.InvalidArgumentError(None, None, "shapes")):
        with pytest.raises(type(defect)):
            cli.run(raising(defect), [])


def test_success_is_0_whether_or_not_it_is_returned():
    assert cli.run(lambda arguments: None, []) == 0
    assert cli.run(lambda arguments: 0, []) == 0
    assert cli.run(lambda arguments: 5, []) == 5


def test_arguments_are_those_given_or_those_of_the_process(monkeypatch):
    received = []
    cli.run(received.append, ["--a"])
    monkeypatch.setattr(sys, "argv", ["program", "--b", "c"])
    cli.run(received.append)
    assert received == [["--a"], ["--b", "c"]]


def test_a_closed_pipe_is_no_traceback():
    script = (
        "import sys; from hln_tf.common import cli; "
        "sys.exit(cli.run(lambda _: [print('x' * 100, flush=True) for _ in range(10_000)] and 0))"
    )
    read, write = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", script], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    os.close(read)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (1, b"")


# Without TensorFlow

START = """
import json, runpy, sys

codes = {}
for name, *arguments in json.loads(sys.argv[1]):
    sys.argv = [name, *arguments]
    try:
        runpy.run_module(name, run_name="__main__")
    except SystemExit as stopped:
        codes[" ".join(sys.argv)] = stopped.code
heavy = [name for name in ("tensorflow", "tf_keras", "apache_beam") if name in sys.modules]
print("\\n" + json.dumps([codes, heavy]))
"""


def test_help_and_usage_errors_do_not_import_tensorflow(tmp_path):
    commands = [
        [f"hln_tf.{name}", "--help"] for name in ("train", "evaluate", "recommend", "report")
    ]
    usage_errors = [
        ["hln_tf.train", "--dataset", "sample", "--epochs", "0"],
        ["hln_tf.train", "--dataset", "sample", "--model", "unknown_model"],
        ["hln_tf.evaluate"],
        ["hln_tf.recommend", "--workdir", "x", "--session", "1", "-k", "0"],
        ["hln_tf.report"],
    ]
    finished = subprocess.run(
        [sys.executable, "-c", START, json.dumps(commands + usage_errors)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    codes, heavy = json.loads(finished.stdout.splitlines()[-1])
    expected = {" ".join(command): 0 for command in commands}
    expected |= {" ".join(command): 2 for command in usage_errors}
    assert codes == expected
    assert heavy == []
    assert finished.stderr.count("\nerror: ") + 1 >= len(usage_errors)
    assert "Traceback" not in finished.stderr


# Memory

REUSE = """\
import ctypes, pathlib, sys
from hln_tf.common.cli import reuse_freed_memory

if sys.argv[1] == "reuse":
    reuse_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
block = libc.malloc(ctypes.c_size_t(200_000_000))
ctypes.memset(block, 1, 200_000_000)
libc.free(block)
found = pathlib.Path("/proc/self/status").read_text().split("VmRSS:")[1]
print(int(found.split()[0]) / 1000)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it sets glibc's allocator")
@pytest.mark.parametrize(
    ("mode", "variables", "is_reused"),
    [
        ("reuse", {}, True),
        ("default", {}, False),
        ("reuse", {"MALLOC_PERTURB_": "0"}, False),
        ("reuse", {"GLIBC_TUNABLES": "glibc.malloc.check=0"}, False),
    ],
)
def test_freed_memory_is_reused_unless_the_environment_sets_the_allocator(
    mode, variables, is_reused
):
    unset = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    finished = subprocess.run(
        [sys.executable, "-c", REUSE, mode],
        env={**unset, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (float(finished.stdout) > 200) is is_reused  # MB that the process has after it freed 200
