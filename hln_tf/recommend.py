"""Recommendations for sessions of item ids: `python -m hln_tf.recommend`."""

import dataclasses
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hln_tf.common import cli, files
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.files import as_location
from hln_tf.common.progress import progress_bar
from hln_tf.common.text import is_utf_8, split_session
from hln_tf.training.run_directory import RunDirectory

if TYPE_CHECKING:
    from hln_tf.recommender import Recommender

BATCH_SIZE = 512

EXAMPLES = """examples:
  python -m hln_tf.recommend --workdir runs/yoochoose64/hln --session "214536502 214536500" -k 10
  python -m hln_tf.recommend --workdir runs/yoochoose64/hln --input sessions.txt --output recs.jsonl
"""


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """The recommendations for one session.

    Attributes:
      session: Its item ids.
      unknown: Those that the model does not know and skips.
      items: Pairs of item id and score, highest first.
      is_fallback: Whether these are the most popular items, because no item of
        the session is known or all items score the same.
    """

    session: list[str]
    unknown: list[str]
    items: list[tuple[str, float]]
    is_fallback: bool

    def to_json(self) -> str:
        """Format the recommendation as one line of JSON."""
        items = [{"item": item, "score": score} for item, score in self.items]
        content: dict[str, Any] = {**dataclasses.asdict(self), "items": items}
        return json.dumps(content, ensure_ascii=False)


def recommend(
    recommender: "Recommender", sessions: Sequence[list[str]], k: int
) -> list[Recommendation]:
    """Recommend k items for each session and list the items that are unknown."""
    return [
        Recommendation(
            session=session,
            unknown=[item for item in session if item not in recommender.known],
            items=found.items,
            is_fallback=found.is_fallback,
        )
        for session, found in zip(sessions, recommender.recommend(sessions, k), strict=True)
    ]


def read_sessions(path: Path, separator: str) -> Iterator[list[str]]:
    """Read sessions, one on each line.

    Raises:
      HlnError: The file cannot be read or a line is not UTF-8.
    """
    try:
        file = open(path, "rb")
    except OSError as error:
        raise HlnError(
            f"--input {path} cannot be read ({error.strerror}): name a file with one session, "
            f"item ids joined by {separator!r}, on each line"
        ) from None
    with file:
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError:
                raise HlnError(
                    f"{path}, line {number} is not valid UTF-8: write the sessions as UTF-8 text"
                ) from None
            yield split_session(text.rstrip("\r\n"), separator)


def write_recommendations(
    recommender: "Recommender", sessions: Iterator[list[str]], k: int, output: Path
) -> tuple[int, int]:
    """Write the recommendations for sessions, in batches, to a file of JSON lines.

    Returns:
      The number of sessions, and of those that got the most popular items.
    """
    total = fallbacks = 0
    with (
        files.atomic_write(output) as temporary,
        open(temporary, "w", encoding="utf-8") as file,
        progress_bar("recommending", "sessions") as bar,
    ):
        while batch := list(itertools.islice(sessions, BATCH_SIZE)):
            for result in recommend(recommender, batch, k):
                file.write(result.to_json() + "\n")
                fallbacks += result.is_fallback
            total += len(batch)
            bar.update(len(batch))
    return total, fallbacks


def show(result: Recommendation) -> None:
    """Print a recommendation as a table, with notes on standard error."""
    if result.unknown:
        print(f"unknown items, skipped: {', '.join(result.unknown)}", file=sys.stderr)
    if result.is_fallback:
        known = len(result.unknown) < len(result.session)
        reason = (
            "the model scores all items the same for this session"
            if known
            else "the session has no known item"
        )
        print(f"{reason}; these are the most popular", file=sys.stderr)
    width = max(len(item) for item, _ in result.items)
    for rank, (item, score) in enumerate(result.items, start=1):
        print(f"{rank:3}  {item:{width}}  {score:9.4f}")


def main(arguments: Sequence[str]) -> None:
    """Recommend items for the sessions of a flag or a file."""
    parser = cli.Parser(prog="python -m hln_tf.recommend", description=__doc__, epilog=EXAMPLES)
    add = parser.add_argument
    add("--workdir", required=True, type=as_location, help="directory or URL of a finished run")
    add("-k", type=int, default=20, help="items to recommend (default: %(default)s)")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--session", help="item ids, oldest first, joined by the separator")
    source.add_argument("--input", type=Path, help="file with one session on each line")
    add("--output", type=Path, help="file of JSON lines to write, with --input")
    flags = parser.parse_args(arguments)
    if flags.k < 1:
        raise UsageError(f"-k is {flags.k}, expected at least 1")
    if (flags.input is None) != (flags.output is None):
        raise UsageError("--input and --output go together: name both or use --session")
    if flags.session is not None and not is_utf_8(flags.session):
        raise UsageError(f"--session is {flags.session!r}, expected UTF-8 text")
    workdir = RunDirectory(flags.workdir)
    separator = workdir.config().data.separator
    cli.import_tensorflow()
    from hln_tf.recommender import Recommender

    recommender = Recommender.load(workdir)
    if flags.session is not None:
        show(recommend(recommender, [split_session(flags.session, separator)], flags.k)[0])
        return
    total, fallbacks = write_recommendations(
        recommender, read_sessions(flags.input, separator), flags.k, flags.output
    )
    print(
        f"wrote {flags.output}: {total} sessions, {fallbacks} of them got the most popular items",
        file=sys.stderr,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
