"""One page of HTML with tables and pictures, which needs no network and no other file."""

import dataclasses
import importlib.resources
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jinja2
import matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a page.

    Attributes:
      rows: The cells; the first row is the header.
      texts: Number of columns, from the left, that contain text and not figures.
      caption: A sentence above it.
    """

    rows: Sequence[Sequence[str]]
    texts: int
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of a page.

    Attributes:
      svg: An element of HTML.
    """

    svg: str


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of a page.

    Attributes:
      title: Its heading.
      parts: Tables and pictures, from the top down.
      note: A sentence below the heading.
    """

    title: str
    parts: Sequence[Table | Picture]
    note: str = ""


def picture_of(figure: "Figure", name: str) -> Picture:
    """Render a figure as SVG whose text remains text.

    Args:
      figure: The figure.
      name: Another one for each picture of a page, on which ids depend.
    """
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return Picture(text.getvalue()[text.getvalue().index("<svg") :])


def render_page(title: str, sections: Sequence[Section]) -> str:
    """Render a page of HTML.

    Args:
      title: Its heading.
      sections: Its sections; those without a part are left out.
    """
    source = importlib.resources.files("hln_tf.analysis").joinpath("page.html").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    shown = [section for section in sections if section.parts]
    return environment.from_string(source).render(title=title, sections=shown)
