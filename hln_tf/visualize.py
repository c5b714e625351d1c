"""Pictures of a trained model: `python -m hln_tf.visualize retention --workdir DIR`."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hln_tf.analysis.learning_curves import read_curves
from hln_tf.common import cli
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.files import as_location, join
from hln_tf.common.text import is_utf_8, split_session
from hln_tf.data.layout import SPLITS
from hln_tf.training.run_directory import RunDirectory, existing_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hln_tf.data.sessions import Sessions

# A figure and its numbers, of which the first row is the header.
Picture = tuple["Figure", list[Sequence[Any]]]

DESCRIPTION = "Plot a trained model as PNG and SVG, with the numbers as CSV."
EXAMPLES = """examples:
  python -m hln_tf.visualize retention --workdir runs/yoochoose64/hln --length 6
  python -m hln_tf.visualize session --workdir runs/yoochoose64/hln --session "214536502 214536500"
  python -m hln_tf.visualize learning runs/seeds/1 runs/seeds/2 --output learning
  python -m hln_tf.visualize embeddings --workdir runs/yoochoose64/hln
"""


def retention(flags: argparse.Namespace) -> Picture:
    """Plot each group's mean retention by position of the click: the paper's Figure 3."""
    workdir = RunDirectory(flags.workdir)
    config = workdir.config()
    max_length = config.training.max_length
    if not 1 <= flags.length <= max_length:
        raise UsageError(
            f"--length is {flags.length}, expected 1 to {max_length}, the clicks of a session "
            f"that the model of {workdir.path} uses"
        )
    data_dir = workdir.data_dir(flags.data_dir)
    cli.import_tensorflow()
    from hln_tf.analysis.pictures import draw_retention
    from hln_tf.analysis.retention import compiled_retention, mean_by_position, retention_of_clicks
    from hln_tf.data.sessions import read_split

    model = workdir.model()
    sessions = read_split(data_dir, flags.split)
    chosen = sessions.where(sessions.lengths == flags.length)
    if not len(chosen):
        where = join(data_dir, flags.split)
        raise HlnError(f"{where} has no session of {flags.length} clicks; {_lengths(sessions)}")
    of_clicks = retention_of_clicks(compiled_retention(model), chosen, max_length)
    rates = mean_by_position(of_clicks, chosen, flags.length)
    title = (
        f"Retention rates of {config.model} on {config.data.dataset}\n"
        f"{len(chosen):,} {flags.split} sessions of {flags.length} clicks"
    )
    rows: list[Sequence[Any]] = [("group", "position", "retention_rate", "sessions")]
    rows += [
        (group + 1, position + 1, f"{rate:.6f}", len(chosen))
        for (group, position), rate in np.ndenumerate(rates)
    ]
    return draw_retention(rates, title, flags.stretch), rows


def session(flags: argparse.Namespace) -> Picture:
    """Plot one session's retention in each group, and the items nearest to the group."""
    if flags.k < 1:
        raise UsageError(f"-k is {flags.k}, expected at least 1")
    if not is_utf_8(flags.session):
        raise UsageError(f"--session is {flags.session!r}, expected UTF-8 text")
    workdir = RunDirectory(flags.workdir)
    config = workdir.config()
    items = split_session(flags.session, config.data.separator)
    cli.import_tensorflow()
    from hln_tf.analysis.pictures import draw_session
    from hln_tf.recommender import Recommender

    recommender = Recommender.load(workdir)
    unknown = [item for item in items if item not in recommender.known]
    if len(unknown) == len(items):
        raise HlnError(
            f"--session is {flags.session!r}, of which the model of {workdir.path} knows no item: "
            f"give item ids of its data set, joined by {config.data.separator!r}"
        )
    (explanation,) = recommender.explain([items], flags.k)
    if unknown:
        print(f"unknown items, skipped: {', '.join(unknown)}", file=sys.stderr)
    left_out = len(items) - len(unknown) - len(explanation.clicks)
    if left_out:
        print(f"the model uses the last clicks only: {left_out} left out", file=sys.stderr)
    title = f"Preference groups of one session: {config.model} on {config.data.dataset}"
    rows: list[Sequence[Any]] = [("group", "shows", "place", "item", "value")]
    for group, (of_group, nearest) in enumerate(
        zip(explanation.retention, explanation.groups, strict=True), start=1
    ):
        clicks = zip(explanation.clicks, of_group, strict=True)
        for shows, pairs in (("retention", clicks), ("nearest", nearest)):
            rows += [
                (group, shows, place, item, f"{value:.6f}")
                for place, (item, value) in enumerate(pairs, start=1)
            ]
    return draw_session(explanation, title), rows


def learning(flags: argparse.Namespace) -> Picture:
    """Plot the learning curves of several runs."""
    curves, title = read_curves(flags.runs)
    from hln_tf.analysis.pictures import draw_learning

    names = list(dict.fromkeys(name for curve in curves.values() for e in curve for name in e))
    rows: list[Sequence[Any]] = [("run", "epoch", *names)]
    for run, curve in curves.items():
        rows += [
            (run, epoch, *(f"{entry[name]:.6g}" if name in entry else "" for name in names))
            for epoch, entry in enumerate(curve, start=1)
        ]
    return draw_learning(curves, "mrr@20", title), rows


def embeddings(flags: argparse.Namespace) -> Picture:
    """Plot item embeddings, projected to their first two principal components."""
    if flags.items < 3:
        raise UsageError(f"--items is {flags.items}, expected at least 3")
    workdir = RunDirectory(flags.workdir)
    config = workdir.config()
    cli.import_tensorflow()
    from hln_tf.analysis.item_embeddings import most_popular, principal_components
    from hln_tf.analysis.pictures import draw_embeddings

    shown = most_popular(workdir.model(), workdir.vocabulary(), flags.items)
    points, variances = principal_components(shown.embeddings)
    title = (
        f"Item embeddings of {config.model} on {config.data.dataset}\n"
        f"the {len(shown.ids):,} most popular of {config.data.items:,} items"
    )
    rows: list[Sequence[Any]] = [("item", "clicks", "first", "second")]
    rows += [
        (item, clicks, f"{first:.6g}", f"{second:.6g}")
        for item, clicks, (first, second) in zip(shown.ids, shown.clicks, points, strict=True)
    ]
    return draw_embeddings(points, shown.clicks, variances, title), rows


def _lengths(sessions: "Sessions") -> str:
    if not len(sessions):
        return "it is empty"
    counts = np.bincount(sessions.lengths)
    return (
        f"lengths go from {sessions.lengths.min()} to {sessions.lengths.max()}, most are of "
        f"{counts.argmax()}: choose another --length"
    )


def main(arguments: Sequence[str]) -> None:
    """Plot a picture and write its files."""
    parser = cli.Parser(prog="python -m hln_tf.visualize", description=DESCRIPTION, epilog=EXAMPLES)
    pictures = parser.add_subparsers(dest="picture", metavar="PICTURE", required=True)

    def add_picture(draw: Callable[[argparse.Namespace], Picture]) -> argparse.ArgumentParser:
        text = (draw.__doc__ or "").rstrip(".")
        added = pictures.add_parser(draw.__name__, help=text, description=draw.__doc__)
        added.set_defaults(draw=draw)
        text = "write PATH.png, PATH.svg and PATH.csv (default: below pictures/ in the workdir)"
        added.add_argument("--output", type=Path, metavar="PATH", help=text)
        if draw is not learning:
            text = "directory or URL of a finished run"
            added.add_argument("--workdir", required=True, type=existing_run, help=text)
        return added

    add = add_picture(retention).add_argument
    text = "clicks of the sessions of which the mean is plotted (default: %(default)s, the paper's)"
    add("--length", type=int, default=6, help=text)
    add("--split", choices=SPLITS, default="test", help="their part (default: %(default)s)")
    add("--data_dir", type=as_location, help="prepared data set (default: the one of the training)")
    text = "colour scale from the least to the largest value; such pictures are not comparable"
    add("--stretch", action="store_true", help=text)
    add = add_picture(session).add_argument
    add("--session", required=True, help="item ids, oldest first, joined by the separator")
    add("-k", type=int, default=5, help="items shown for each group (default: %(default)s)")
    add = add_picture(learning).add_argument
    add(
        "runs",
        nargs="+",
        type=existing_run,
        metavar="RUN",
        help="workdirs of runs, finished or not",
    )
    add = add_picture(embeddings).add_argument
    add("--items", type=int, default=10_000, help="most popular items shown (default: %(default)s)")

    flags = parser.parse_args(arguments)
    if flags.output is not None and flags.output.name in ("", ".."):
        raise UsageError(f"--output is {str(flags.output)!r}, expected a path that ends in a name")
    workdir = flags.runs[0] if flags.picture == "learning" else flags.workdir
    cli.require_extra("plots", ["matplotlib"])
    figure, rows = flags.draw(flags)
    from hln_tf.analysis.pictures import FORMATS, save

    stem = flags.output or workdir / "pictures" / flags.picture
    if stem.suffix[1:] in FORMATS:
        stem = stem.with_suffix("")
    for path in save(figure, rows, stem):
        print(f"wrote {os.fspath(path)}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
