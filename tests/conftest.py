"""Tiers of the tests, by marker: `process` for modules that start processes, `slow` by hand."""

import functools
import inspect
import re

import pytest

import hln_tf  # noqa: F401  It selects Keras 2, so it comes before TensorFlow.

# How a test module comes by another process: itself, or by a helper of this directory.
_STARTS = re.compile(
    r"\bsubprocess\b|\bmultiprocessing\b|\bserved\b|\bbrowsers\b|import \(?[^)]*\bstart\b"
)


@functools.cache
def _starts_processes(module):
    return bool(_STARTS.search(inspect.getsource(module)))


def pytest_collection_modifyitems(items):
    for item in items:
        if _starts_processes(item.module):
            item.add_marker(pytest.mark.process)
