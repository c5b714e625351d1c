"""Hooks of mkdocs: pages that are made at build time, links between files, sources in pages."""

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

import commands_page
import notebooks
import sources
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Documents of the repository that are pages of the site, by their paths there.
BROUGHT_IN = {
    "results.md": ROOT / "benchmarks" / "RESULTS.md",
    "changelog.md": ROOT / "CHANGELOG.md",
    **{f"tutorials/{path.stem}.md": path for path in notebooks.NOTEBOOKS},
}
# Whether it is a picture, text, path and anchor of a link to a file.
_LINK = re.compile(r"(!?)\[([^\[\]]+)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
_SOURCE = re.compile(r"^<!-- source: ([\w.]+) -->$", re.MULTILINE)
_CODE = re.compile(r"<code>[^<]*</code>")
_FLAG = re.compile(r"--?\w+")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not below `docs`."""
    files.append(File.generated(config, "reference/commands.md", content=commands_page.page()))
    for uri, path in BROUGHT_IN.items():
        if path.suffix != ".ipynb":
            files.append(File.generated(config, uri, content=path.read_text("utf-8")))
            continue
        text, pictures = notebooks.as_markdown(path)
        files.append(File.generated(config, uri, content=text))
        for name, picture in pictures.items():
            files.append(File.generated(config, f"tutorials/{name}", content=picture))
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Include the sources that a page names, and link the pages of the site."""
    uri = page.file.src_uri
    markdown = _SOURCE.sub(lambda found: f"```python\n{sources.source(found[1])}\n```", markdown)
    origin = BROUGHT_IN.get(uri, DOCS / uri).parent

    def link(found: re.Match[str]) -> str:
        picture, text, target, anchor = found.groups("")
        path = Path(os.path.normpath(origin / target))
        place = _page_of(path)
        if place is not None:
            return f"{picture}[{text}]({os.path.relpath(place, PurePosixPath(uri).parent)}{anchor})"
        # A file of the repository that is no page: the site has its name alone.
        return text if path.exists() else found[0]

    return _LINK.sub(link, markdown)


def on_page_content(html: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Keep flags in sentences in one piece: browsers break lines after their dashes."""
    return _CODE.sub(lambda code: _FLAG.sub(r'<span class="flag">\g<0></span>', code[0]), html)


def _page_of(path: Path) -> str | None:
    """Return the page of the site that is made of a file; None if there is none."""
    if path == ROOT / "README.md":
        return "index.md"
    for uri, brought_in in BROUGHT_IN.items():
        if path == brought_in:
            return uri
    return path.relative_to(DOCS).as_posix() if path.is_relative_to(DOCS) else None
