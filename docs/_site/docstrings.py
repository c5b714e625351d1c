"""An extension of griffe: docstrings and defaults as the reference shows them."""

import dataclasses
import importlib
import inspect
import re
import textwrap
from typing import Any

import griffe

# Sections that Google style as griffe reads it does not have, or has with an indent.
_EXAMPLE = re.compile(r"^Example:\n(?=>>>)(.*)\Z", re.MULTILINE | re.DOTALL)
_CALL_ARGUMENTS = re.compile(r"^Call arguments:\n((?:  .*(?:\n|\Z))+)", re.MULTILINE)
_ITEM = re.compile(r"^  (\w+): ", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Completes and rewrites the docstrings of the packages, and the defaults of settings."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **arguments: Any) -> None:
        """Replace the declaration of a setting, `setting(...)`, by its default."""
        if re.match(r"(setting|redeclared)\(", str(attr.value)) and attr.parent.is_class:
            fields = dataclasses.fields(_of_runtime(attr.parent))
            attr.value = next(repr(each.default) for each in fields if each.name == attr.name)

    def on_object(self, *, obj: griffe.Object, **arguments: Any) -> None:
        """Rewrite the docstring of an object, of settings after `documented` has completed it."""
        if obj.docstring is None:
            return
        text = obj.docstring.value
        if isinstance(obj, griffe.Class) and any(
            str(decorator.value) == "documented" for decorator in obj.decorators
        ):
            text = inspect.getdoc(_of_runtime(obj)) or text
        obj.docstring.value = rewritten(text)


def _of_runtime(cls: griffe.Class) -> Any:
    """Import a class."""
    return getattr(importlib.import_module(cls.module.path), cls.name)


def rewritten(text: str) -> str:
    """Rewrite a docstring in Google style as griffe reads it."""
    text = _CALL_ARGUMENTS.sub(_call_arguments, text)
    return _EXAMPLE.sub(lambda found: f"Examples:\n{textwrap.indent(found[1], '  ')}", text)


def _call_arguments(found: re.Match[str]) -> str:
    """Turn the section of a layer's call arguments into a list."""
    items = _ITEM.split(textwrap.indent(textwrap.dedent(found[1]), "  "))[1:]
    lines = [
        f"- **`{name}`**: {' '.join(text.split())}"
        for name, text in zip(items[::2], items[1::2], strict=True)
    ]
    return "**Call arguments:**\n\n" + "\n".join(lines) + "\n"
