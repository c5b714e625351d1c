"""The command `python -m beam_preprocess.report DIR`: tables and figures of a data set."""

import base64
import html
import sys
from collections.abc import Sequence
from pathlib import Path

from hln_tf.common.cli import Parser, import_tensorflow, require_extra, run
from hln_tf.common.errors import UsageError
from hln_tf.common.files import as_location, atomic_write

PNG = "report.png"
HTML = "report.html"
_DESCRIPTION = """\
Prints and plots what a prepared data set holds: lengths of sessions, popularity of
items, clicks per day with the split, and the share of the test part that train
never saw.

  python -m beam_preprocess.report data/custom

The figures go to report.png, figures and tables together to report.html.
"""
_STYLE = """\
body { font: 16px/1.5 sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; color: #111 }
img { width: 100%; height: auto }
table { border-collapse: collapse; margin: 1em 0 2em }
th, td { padding: 0.2em 0.9em; border-bottom: 1px solid #999; text-align: right }
th:first-child, td:first-child { text-align: left }
caption { text-align: left; font-weight: bold; padding: 0.4em 0 }
"""


def main(arguments: Sequence[str]) -> None:
    """Read a data set and write its report."""
    parser = Parser(prog="python -m beam_preprocess.report", description=_DESCRIPTION)
    parser.add_argument(
        "directory", metavar="DIR", type=as_location, help="data set directory, or its URL"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where the report goes (default: the data set)"
    )
    flags = parser.parse_args(arguments)
    output = flags.output or flags.directory
    if not isinstance(output, Path):
        raise UsageError(f"{output} is a URL: name a directory for the report with --output")
    require_extra("plots", ["matplotlib"])
    import_tensorflow()
    from beam_preprocess.description import describe
    from beam_preprocess.figures import draw

    described = describe(flags.directory)
    png = draw(described)
    tables = described.tables()
    for title, rows in tables.items():
        print(f"{title}\n{as_text(rows)}\n")
    contents = {PNG: png, HTML: as_html(described.title, png, tables).encode()}
    for name, content in contents.items():
        with atomic_write(output / name) as temporary:
            temporary.write_bytes(content)
        print(f"wrote {output / name}")


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """Format a table for a terminal, the first column to the left, all others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def as_html(title: str, png: bytes, tables: dict[str, list[list[str]]]) -> str:
    """Format a page that needs no other file."""
    parts = [
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{html.escape(title)}'
        f"</title>\n<style>\n{_STYLE}</style>\n<h1>{html.escape(title)}</h1>",
        '<img alt="Session lengths, item popularity, clicks per day and unseen test items; '
        f'the numbers are in the tables" src="data:image/png;base64,'
        f'{base64.b64encode(png).decode()}">',
    ]
    for caption, rows in tables.items():
        parts.append(f"<table>\n<caption>{html.escape(caption)}</caption>")
        for index, row in enumerate(rows):
            tag = "td" if index else "th"
            cells = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
            parts.append(f"<tr>{cells}</tr>")
        parts.append("</table>")
    return "\n".join([*parts, "</html>\n"])


if __name__ == "__main__":
    sys.exit(run(main))
