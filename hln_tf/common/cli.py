"""Helpers of every command: flags from settings, errors as one sentence."""

import argparse
import ctypes
import dataclasses
import errno
import importlib
import importlib.util
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from hln_tf.common.errors import HlnError, ReportedError, UsageError
from hln_tf.common.interrupt import TrainingInterrupt
from hln_tf.common.settings import (
    declared_fields,
    describe_range,
    flag_name,
    from_dict,
    notify_renamed,
    value_type,
)

T = TypeVar("T")

CLUSTER_VARIABLE = "TF_CONFIG"  # names the workers of a distributed training
# Parameters of glibc's mallopt: no block is mapped on its own, none is given back to the system,
# the heap grows by 256 MB, and all threads share one, as those of threads end at 64 MB.
_M_MMAP_MAX, _M_TRIM_THRESHOLD, _M_TOP_PAD, _M_ARENA_MAX = -4, -1, -2, -8
_REUSE = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 2**28, _M_ARENA_MAX: 1}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are `UsageError`s and whose flags are exact."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **kwargs)
        self.renamed: dict[str, str] = {}

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments after replacing older names of flags by the current ones."""
        arguments = sys.argv[1:] if args is None else list(args)
        for index, argument in enumerate(arguments):
            flag, equals, value = argument.partition("=")
            if flag in self.renamed:
                notify_renamed(f"the flag {flag} was given", self.renamed[flag])
                arguments[index] = f"{self.renamed[flag]}{equals}{value}"
        return super().parse_known_args(arguments, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise a `UsageError` instead of printing the usage and exiting."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def add_settings(
    parser: Parser,
    cls: type,
    title: str,
    defaults: Mapping[str, Any] | None = None,
    only: Collection[str] | None = None,
    unless_taken: bool = False,
) -> list[str]:
    """Add one flag for each field of a settings dataclass.

    Booleans become `--flag` and `--no-flag`, tuples take several values. Flags
    that are not given are absent from the parsed values, so that they do not
    override presets and files.

    Args:
      parser: The parser to add the flags to.
      cls: The settings dataclass.
      title: Heading of the group in `--help`.
      defaults: Defaults to show instead of the fields' own.
      only: Names of the fields that get a flag; all by default.
      unless_taken: Whether to leave out flags that the parser has already.

    Returns:
      The names of the fields that got a flag.

    Raises:
      argparse.ArgumentError: The parser has such a flag.
    """
    added = []
    group = parser.add_argument_group(title)
    for field in declared_fields(cls):
        if only is not None and field.name not in only:
            continue
        expected, _ = value_type(field, cls)
        default = (defaults or {}).get(field.name, field.default)
        shown = " ".join(default) if isinstance(default, tuple) else str(default)
        # A default of nothing is described by the help, if at all.
        is_nothing = default is None or not shown
        notes = [describe_range(field), "" if is_nothing else f"default: {shown}"]
        note = f" ({'; '.join(filter(None, notes))})" if any(notes) else ""
        text = f"{field.metadata['help']}{note}".replace("%", "%%")
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text}
        if expected is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif expected is tuple:
            options |= {"nargs": "+", "metavar": "STR"}
        else:
            options["type"] = expected
            options["choices"] = field.metadata.get("choices")
            options["metavar"] = None if options["choices"] else expected.__name__.upper()
        try:
            group.add_argument(flag_name(field.name), **options)
        except argparse.ArgumentError:
            if not unless_taken:
                raise
            continue
        added.append(field.name)
        alias = field.metadata.get("alias")
        if alias:
            parser.renamed |= {
                f"--{prefix}{alias}": f"--{prefix}{field.name}" for prefix in ("", "no-")
            }
    return added


def settings_from(
    cls: type[T], arguments: argparse.Namespace, base: Mapping[str, Any] | None = None
) -> T:
    """Build settings from `base` (a preset or a file), overridden by parsed flags."""
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    given = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(arguments).items()
        if name in names
    }
    return from_dict(cls, {**(base or {}), **given}, source="the command line")


def as_arguments(values: Mapping[str, Any]) -> list[str]:
    """Write values of settings as the flags of `add_settings` that have them."""
    arguments = []
    for name, value in values.items():
        if isinstance(value, bool):
            arguments.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, list | tuple):
            arguments += [flag_name(name), *map(str, value)]
        else:  # by =, as a value may begin with a dash
            arguments.append(f"{flag_name(name)}={value}")
    return arguments


def run(main: Callable[[Sequence[str]], int | None], arguments: Sequence[str] | None = None) -> int:
    """Run a command's `main` and turn errors into one sentence and an exit code.

    Args:
      main: Takes the arguments after the program's name.
      arguments: These arguments; the process's own by default.

    Returns:
      0 on success, 2 for a usage error, 1 for any other error that the user
      can fix, 128 + the signal's number when a signal stopped it.
    """
    if threading.current_thread() is threading.main_thread():
        # Unlike the default action, an exit runs `finally` blocks, which remove temporary files.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        return main(sys.argv[1:] if arguments is None else arguments) or 0
    except ReportedError as error:
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except TrainingInterrupt as stopped:
        print(f"stopped by {stopped}; run the same command again to go on", file=sys.stderr)
        return 128 + stopped.number
    except BrokenPipeError:
        # The reader of our output (`| head`) has closed it: an error message would not be read.
        sys.stderr.close()
        return 1
    except Exception as error:
        sentence = describe_error(error)
        if sentence is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        return getattr(error, "exit_code", 1)


def reuse_freed_memory() -> None:
    """Have glibc, where there is one, give freed memory to the next allocation.

    As a rule it returns large blocks to the system, which fills the pages of a new block
    with zeros again: of a step over a large catalogue, whose scores are such blocks, that is
    a fifth to a third of the time on two cores. No result depends on it. Variables of the
    environment that set glibc's allocator, `MALLOC_...` or `GLIBC_TUNABLES`, prevail.
    """
    is_set = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if is_set or sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in _REUSE.items():
            mallopt(parameter, value)


def import_tensorflow(reuses_memory: bool = True) -> None:
    """Import TensorFlow without the lines that its libraries print while loading.

    They are printed before its log level is read. If the import fails, they are
    shown.

    Args:
      reuses_memory: Whether what TensorFlow frees is reused, see `reuse_freed_memory`.
    """
    if reuses_memory:
        reuse_freed_memory()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as banner:
        terminal = os.dup(2)
        os.dup2(banner.fileno(), 2)
        try:
            # Imported after TensorFlow it loads all subpackages at once, and not those in use.
            importlib.import_module("tensorflow_probability")
            tensorflow = importlib.import_module("tensorflow")
            if CLUSTER_VARIABLE not in os.environ:  # else the workers must connect first
                tensorflow.config.list_logical_devices()
        except BaseException:
            banner.seek(0)
            os.write(terminal, banner.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def require_extra(extra: str, packages: Iterable[str]) -> None:
    """Check that the packages of an extra are installed, without importing them.

    Args:
      extra: Name of the extra of hln-tf, such as `plots`.
      packages: Names of its Python packages that are needed.

    Raises:
      HlnError: One is missing.
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise HlnError(
            f"this needs Python packages that are not installed ({', '.join(missing)}): "
            f"run pip install 'hln-tf[{extra}]'"
        )


def with_flags(message: str) -> str:
    """Replace each argument's name, in backticks, by its flag."""
    return re.sub("`([a-z_]+)`", lambda name: flag_name(name[1]), message)


def describe_error(error: Exception) -> str | None:
    """Describe an error that the user can fix in one sentence; None for any other error."""
    if isinstance(error, HlnError):  # its own message names arguments, not flags
        return with_flags(str(error))
    if isinstance(error, OSError):
        return describe_os_error(error)
    return describe_tensorflow_error(error)


def describe_tensorflow_error(error: Exception) -> str | None:
    """Describe an error of TensorFlow that the user can fix in one sentence.

    These are a full disk, too little memory, and a package of another TensorFlow.
    TensorFlow's errors contain the operating system's text as "PATH; No space left
    on device".

    Returns:
      The sentence, or None for any other error.
    """
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not isinstance(error, tensorflow.errors.OpError):
        return None
    for number in _REMEDIES:
        reason = os.strerror(number)
        found = re.search(f"([^ ]+); {re.escape(reason)}", error.message)
        if found:
            return describe_os_error(OSError(number, reason, found[1]))
    if "_scann_ops" in error.message:
        return (
            f"the package scann was built for another TensorFlow than {tensorflow.__version__} "
            f"and fails to load: install the one for it, or pip uninstall scann"
        )
    if isinstance(error, tensorflow.errors.ResourceExhaustedError):
        return "out of memory: lower --batch_size, --evaluation_batch_size or the model's sizes"
    return None


def describe_os_error(error: OSError) -> str:
    """Describe an error of the operating system in one sentence, with its remedy if known."""
    where = f"{error.filename}: " if error.filename else ""
    remedy = _REMEDIES.get(error.errno or 0, "")
    return f"{where}{error.strerror or error}{remedy and '; '}{remedy}"


_REMEDIES = {
    errno.ENOSPC: "free some space and run the same command again",
    errno.EDQUOT: "free some space and run the same command again",
    errno.EFBIG: "raise the file size limit (ulimit -f) and run the same command again",
    errno.EACCES: "check the permissions",
    errno.EPERM: "check the permissions",
    errno.EROFS: "choose a directory that can be written",
    errno.EIO: "check the disk and run the same command again",
}
