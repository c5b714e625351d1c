"""The page of all commands, in Markdown, from their parsers."""

import argparse
import re
import textwrap
from collections.abc import Iterator

from command_parsers import PACKAGES, commands, parser_of

from hln_tf.models import model_names

_PYTHON = "python -m "
_TRAIN = "hln_tf.train"
_INTRODUCTION = f"""\
# Commands

Every command of the packages with all its flags; `--help` prints the same. A command that fails
ends in one sentence on standard error, with exit code 2 if a flag or a value is not allowed and 1
for any other error that can be fixed. The flags of `{_TRAIN}` and `tuning.search` depend on
`--model`: those of every model are [below](#{_TRAIN}-models).
"""
_TITLES = {"options": "flags", "positional arguments": "arguments"}


def page() -> str:
    """Write the page."""
    parts = [_INTRODUCTION]
    for command in (each for package in PACKAGES for each in commands([package])):
        parts += _command(f"{_PYTHON}{command}", command, parser_of(command), "##")
        if command == _TRAIN:
            parts += _models()
    return "\n\n".join(parts)


def _command(
    title: str, anchor: str, parser: argparse.ArgumentParser, heading: str
) -> Iterator[str]:
    """Describe a command, and below it its subcommands."""
    yield f'{heading} {title} {{ #{anchor} data-toc-label="{title.removeprefix(_PYTHON)}" }}'
    yield from _prose(parser.description or "")
    for group in parser._action_groups:
        flags = [_flag(flag, parser, anchor) for flag in _shown(group)]
        if flags:
            name = _TITLES.get(group.title or "", group.title or "")
            yield f"**{name[0].upper()}{name[1:]}**"
            yield from flags
    yield from _prose(parser.epilog or "")
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, subparser in action.choices.items():
                yield from _command(f"{title} {name}", f"{anchor}.{name}", subparser, "###")


def _models() -> Iterator[str]:
    """Describe the flags of each model's own settings."""
    yield f"### Flags of each model {{ #{_TRAIN}-models }}"
    for model in model_names():
        parser = parser_of(_TRAIN, ["--model", model])
        yield f"#### --model {model} {{ #{_TRAIN}-{model} }}"
        (group,) = (each for each in parser._action_groups if each.title == f"model {model}")
        flags = [_flag(flag, parser, f"{_TRAIN}-{model}") for flag in _shown(group)]
        yield from flags or ["The model has no flags of its own."]


def _shown(group: argparse._ArgumentGroup) -> list[argparse.Action]:
    """Return the flags and arguments of a group, without `--help` and subcommands."""
    hidden = (argparse._HelpAction, argparse._SubParsersAction)
    return [action for action in group._group_actions if not isinstance(action, hidden)]


def _flag(action: argparse.Action, parser: argparse.ArgumentParser, anchor: str) -> str:
    """Describe a flag or an argument as an entry of a definition list."""
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else ""
    value = str(action.metavar or choices or action.dest.upper())
    repeated = f"{value} ..." if action.nargs == "+" else value
    if not action.option_strings:
        names = [repeated]
    elif action.nargs == 0:
        names = list(action.option_strings)
    else:
        names = [f"{name} {repeated}" for name in action.option_strings]
    text = (action.help or "") % {**vars(action), "prog": parser.prog}
    first = f"`{names[0]}`{{ #{anchor}-{action.dest} }}"
    return f"{', '.join([first, *(f'`{name}`' for name in names[1:])])}\n:   {_escaped(text)}"


def _prose(text: str) -> Iterator[str]:
    """Turn the paragraphs of a help text into Markdown; indented lines are code."""
    for line_is_code, lines in _runs(text.strip("\n").splitlines()):
        body = "\n".join(lines).strip("\n")
        if line_is_code:
            language = "sh" if "python -m" in body else "text"
            yield f"```{language}\n{textwrap.dedent(body)}\n```"
        elif body:
            yield _escaped(body[0].upper() + body[1:])


def _runs(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """Divide lines into runs of indented and of other ones; a blank line belongs to both."""
    run: list[str] = []
    is_code = False
    for line in lines:
        if line.strip() and line.startswith("  ") != is_code:
            yield is_code, run
            run, is_code = [], not is_code
        run.append(line)
    yield is_code, run


def _escaped(text: str) -> str:
    """Write plain text as Markdown, with flags, commands and names in code."""
    code = r"(--?[a-z]\w*|python -m [\w.]+|\w+(?:_\w+)+|[A-Z_]{3,}/[A-Z0-9/-]+|\w+=\w+)"
    parts = re.split(rf"(?<![\w`-]){code}(?![\w`])", text)
    plain = [re.sub(r"([\\`*_<>\[\]$|#])", r"\\\1", part) for part in parts[::2]]
    return "".join(
        part
        for pair in zip(plain, [f"`{each}`" for each in parts[1::2]] + [""], strict=True)
        for part in pair
    )
