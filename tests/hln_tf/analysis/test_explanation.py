"""What an explanation says of a session's clicks, by itself."""

import numpy as np
import pytest

from hln_tf.analysis.explanation import Explanation, used_positions


@pytest.fixture
def explanation():
    retention = np.array([[0.5, 0.49, 1.0], [0.0, 0.02, 0.499]], np.float32)
    return Explanation(
        ["a", "long-id", "a"], retention, [[("x", 2.0), ("y", 1.0)], []], False, [0, 2, 3]
    )


def test_a_click_is_retained_from_one_half(explanation):
    assert explanation.retained.tolist() == [[True, False, True], [False, False, False]]
    assert explanation.retained.dtype == bool


def test_an_explanation_prints_as_a_table(explanation):
    assert str(explanation).splitlines() == [
        "position  click    group 1  group 2",
        "       0  a         0.50 *   0.00",
        "       2  long-id   0.49     0.02",
        "       3  a         1.00 *   0.50",
        "* retained by the group",
        "nearest to group 1: x, y",
        "nearest to group 2: none, it retains no click",
    ]
    empty = Explanation([], np.zeros([1, 0], np.float32), [[]], True, [])
    assert "the session gets the most popular items" in str(empty)


@pytest.mark.parametrize(
    ("session", "clicks", "expected"),
    [
        (["a", "?", "b"], ["a", "b"], [0, 2]),
        (["a", "b", "?", "a"], ["a"], [3]),  # one click is used
        (["a", "b", "b", "?"], ["b", "b"], [1, 2]),
        (["?", "?"], [], []),
        ([], [], []),
    ],
)
def test_positions_are_those_of_the_last_known_clicks(session, clicks, expected):
    assert used_positions(session, clicks) == expected
