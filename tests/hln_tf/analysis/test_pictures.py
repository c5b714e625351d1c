"""Pictures are readable: no text is clipped or overlaps another, greyscale suffices."""

import itertools

import numpy as np
import pytest
from matplotlib.text import Text

from hln_tf.analysis.explanation import Explanation
from hln_tf.analysis.pictures import (
    draw_embeddings,
    draw_learning,
    draw_retention,
    draw_session,
    pixels,
)

TITLE = "Retention rates of hln on yoochoose64\n1,234 test sessions of 6 clicks"


def explanation(length, groups, k, item_id="2145{:05d}"):
    random = np.random.default_rng(1)
    return Explanation(
        [item_id.format(click) for click in range(length)],
        random.random((groups, length)).astype(np.float32),
        [[(item_id.format(item), -12.5 + item) for item in range(k)] for _ in range(groups)],
        False,
        list(range(length)),
    )


def curves(runs, epochs, name="run {}"):
    random = np.random.default_rng(2)
    names = ("loss", "mrr@20", "recall@20")

    def curve():
        return [dict(zip(names, random.random(3), strict=True)) for _ in range(epochs)]

    return {name.replace("{}", str(run)): curve() for run in range(runs)}


def points(count):
    random = np.random.default_rng(3)
    clicks = np.sort(random.integers(0, 100_000, count))[::-1]
    return random.normal(size=(count, 2)), clicks, [0.213, 0.1], TITLE


FIGURES = {
    "figure 3": lambda: draw_retention(np.linspace(0, 1, 18).reshape(3, 6), TITLE),
    "open gates": lambda: draw_retention(np.full((3, 6), 0.9995), TITLE, is_stretched=True),
    "long sessions": lambda: draw_retention(np.random.default_rng(0).random((8, 50)), TITLE),
    "one cell": lambda: draw_retention(np.ones((1, 1)), TITLE),
    "a session": lambda: draw_session(explanation(6, 3, 5), TITLE),
    "a long session": lambda: draw_session(explanation(50, 5, 5), TITLE),
    "one click": lambda: draw_session(explanation(1, 1, 1), TITLE),
    "nothing retained": lambda: draw_session(explanation(2, 3, 0), TITLE),
    "long ids": lambda: draw_session(explanation(4, 3, 9, "a $ and _ of\nlong name {}"), TITLE),
    "curves": lambda: draw_learning(curves(3, 5), "mrr@20", TITLE),
    "many curves": lambda: draw_learning(curves(24, 40), "mrr@20", TITLE),
    "long names": lambda: draw_learning(curves(4, 1, "run {}, " * 20), "mrr@20", TITLE),
    "items": lambda: draw_embeddings(*points(3000)),
    "three items": lambda: draw_embeddings(*points(3)),
}


@pytest.fixture
def rendered(monkeypatch):
    """A function to the box of every text that a figure renders, and the size of the image."""
    found = []
    original = Text.draw

    def draw(text, renderer):
        original(text, renderer)
        if text.get_visible() and text.get_text().strip():
            found.append(text)

    def boxes(figure):
        pixels(figure)  # settles the layout
        with monkeypatch.context() as patch:
            patch.setattr(Text, "draw", draw)
            height, width, _ = pixels(figure).shape
        return {text: text.get_window_extent() for text in found}, width, height

    return boxes


@pytest.mark.parametrize("name", FIGURES)
def test_texts_are_whole_and_apart(name, rendered):
    boxes, width, height = rendered(FIGURES[name]())
    assert len(boxes) > 3
    for text, box in boxes.items():
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text
    upright = [text for text in boxes if text.get_rotation() % 90 == 0]
    for one, other in itertools.combinations(upright, 2):
        assert not overlap(boxes[one], boxes[other]), (one, other)


def overlap(one, other):
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return width > 1 and height > 1


@pytest.mark.parametrize("name", ["figure 3", "a session", "curves", "items"])
def test_letters_are_large_enough_at_the_width_of_a_readme(name, rendered):
    figure = FIGURES[name]()
    boxes, _, _ = rendered(figure)
    pixels_of_a_point = 800 / (72 * figure.get_size_inches()[0])
    assert min(text.get_fontsize() for text in boxes) * pixels_of_a_point >= 12


def test_in_greyscale_brighter_is_more():
    rates = np.linspace(0, 1, 6)[None]
    figure = draw_retention(rates, TITLE)
    image = pixels(figure)[..., :3] @ [0.299, 0.587, 0.114]
    axes = figure.axes[0]
    corners = [axes.transData.transform((column - 0.4, -0.4)) for column in range(6)]
    tones = [image[len(image) - 1 - int(y), int(x)] for x, y in corners]
    assert np.all(np.diff(tones) > 25)


def test_curves_differ_in_more_than_colour():
    figure = draw_learning(curves(12, 3), "mrr@20", TITLE)
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    styles = {(line.get_linestyle(), line.get_marker()) for line in lines}
    assert len(lines) == 12 == len(styles)
