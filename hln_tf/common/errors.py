"""Errors that a user can fix, and the exit codes that report them.

Every command turns these into one sentence on standard error. Any other
exception is a defect of the package and is reported with its traceback.
"""

from typing import Any, ClassVar


class HlnError(Exception):
    """The work cannot be done: a bad file, a full disk, a directory in use.

    The message is one clear sentence that names the file, row or value, says
    what was expected and how to fix it. It names arguments in backticks; `cli.run`
    names the flags instead. Commands exit with code 1.

    Attributes:
      copies: Paths of copies of directories in object stores, with the URLs that
        messages name in their stead.
    """

    exit_code = 1
    copies: ClassVar[dict[str, str]] = {}

    def __str__(self) -> str:
        text = super().__str__()
        for path, url in list(self.copies.items()):  # other threads add to them
            text = text.replace(path, url)
        return text


class ReportedError(HlnError):
    """A command that this one ran has failed and has reported why.

    Args:
      exit_code: The exit code to pass on.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__("reported already")
        self.exit_code = exit_code


class UsageError(HlnError):
    """The command or settings are wrong. Commands exit with code 2."""

    exit_code = 2


class SettingError(UsageError, ValueError):
    """A setting has a value that is not allowed.

    Args:
      name: The setting.
      value: Its value.
      expected: The allowed values, in words.
    """

    def __init__(self, name: str, value: Any, expected: str) -> None:
        super().__init__(f"`{name}` is {value!r}, expected {expected}")
        self.name, self.value, self.expected = name, value, expected
