"""Cases of one test in two tiers: some in every run, the others among the slow tests."""

import pytest


def slow_unless(quick, cases):
    """Mark the cases that are not among `quick` as slow, for `parametrize`."""
    return [case if case in quick else pytest.param(case, marks=pytest.mark.slow) for case in cases]
