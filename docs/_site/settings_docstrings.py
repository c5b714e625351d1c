"""An extension of griffe: settings have the docstrings that `documented` completes."""

import importlib
import inspect
from typing import Any

import griffe


class SettingsDocstrings(griffe.Extension):
    """Takes the docstrings of settings dataclasses from the classes themselves."""

    def on_class_instance(self, *, cls: griffe.Class, **arguments: Any) -> None:
        """Replace the docstring of a class that the decorator `documented` has completed."""
        if any(str(each.value).endswith("documented") for each in cls.decorators):
            found = getattr(importlib.import_module(cls.module.path), cls.name)
            cls.docstring = griffe.Docstring(inspect.getdoc(found) or "", parent=cls)
