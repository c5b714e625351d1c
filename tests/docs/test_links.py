"""Links between the documents lead to files and to headings that are there."""

import json
import re

import pytest
from commands_page import page as commands_page
from documents import DOCS, MEASUREMENTS, PAGES, ROOT
from markdown.extensions.toc import slugify

LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMANDS = DOCS / "reference" / "commands.md"
# Made when the site is built.
MADE = {COMMANDS: commands_page}
LINKING = [*PAGES, *MEASUREMENTS, ROOT / "CHANGELOG.md"]


def prose(path):
    """The text of a page, or of a notebook, without its code blocks."""
    if path in MADE:
        text = MADE[path]()
    elif path.suffix == ".ipynb":
        cells = json.loads(path.read_text("utf-8"))["cells"]
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    else:
        text = path.read_text("utf-8")
    return re.sub(r"(?ms)^ *```.*?^ *```$", "", text)


def anchors(path):
    """The anchors of a page: its headings, those that are named, and the names of the API."""
    text = prose(path)
    headings = re.findall(r"(?m)^#+ (.+?)(?: \{.*\})?$", text)
    named = re.findall(r"\{[^}]*#([\w.-]+)", text)
    return {slugify(each.replace("`", ""), "-") for each in headings} | {
        *named,
        *re.findall(r"(?m)^::: ([\w.]+)$", text),
    }


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    broken = []
    for link in LINK.findall(prose(page)):
        if re.match(r"https?:|mailto:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        if not (path.exists() or path in MADE):
            broken.append(f"{link}: there is no such file")
        elif anchor and anchor not in anchors(path):
            broken.append(f"{link}: there is no such heading")
    assert not broken, "\n".join(broken)


def test_pictures_are_files():
    for page in LINKING:
        assert not re.findall(r"!\[[^]]*\]\(https?:[^)]*\)", prose(page)), page
