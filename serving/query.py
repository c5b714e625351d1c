"""Query a served model for one session: `python -m serving.query`."""

import sys
from collections.abc import Sequence

from hln_tf import Explanation
from hln_tf.common import cli
from hln_tf.common.errors import UsageError
from hln_tf.common.text import is_utf_8
from serving.client import Client
from serving.transport import Target

EXAMPLES = """examples:
  python -m serving.query --url http://127.0.0.1:8501/v1/models/hln --session "214536502 214536500"
  python -m serving.query --url grpc://127.0.0.1:8500/hln --session "214536502" -k 5 --explain
"""


def main(arguments: Sequence[str]) -> None:
    """Print the model's recommendations, or its explanation of the session."""
    parser = cli.Parser(prog="python -m serving.query", description=__doc__, epilog=EXAMPLES)
    add = parser.add_argument
    add(
        "--url",
        required=True,
        help="http://HOST:PORT/v1/models/NAME or grpc://HOST:PORT/NAME, with /versions/N or "
        "/labels/LABEL after it for a certain version",
    )
    add("--session", required=True, help="item ids, oldest first, joined by the separator")
    add("-k", type=int, default=20, help="items to recommend (default: %(default)s)")
    add("--exclude_seen", action="store_true", help="exclude the session's own items")
    add("--explain", action="store_true", help="print the preference groups instead")
    add("--timeout", type=float, default=10.0, help="seconds (default: %(default)s)")
    add("--token_file", default="", help="file of the server's bearer token, if it wants one")
    add("--ca_file", default="", help="certificates in PEM that vouch for a server with TLS")
    flags = parser.parse_args(arguments)
    if flags.k < 1:
        raise UsageError(f"-k is {flags.k}, expected at least 1")
    if not 0 < flags.timeout < float("inf"):
        raise UsageError(f"--timeout is {flags.timeout}, expected a number of seconds above 0")
    if flags.explain and flags.exclude_seen:
        raise UsageError("--explain and --exclude_seen exclude each other")
    session = flags.session.rstrip("\r\n")
    if "\n" in session or "\r" in session:
        raise UsageError(f"--session is {session!r}, expected one line of item ids")
    if not is_utf_8(session):
        raise UsageError(f"--session is {flags.session!r}, expected UTF-8 text")
    Target.parse(flags.url)
    access = {"token_file": flags.token_file, "ca_file": flags.ca_file}
    with Client(flags.url, flags.timeout, **access) as client:
        explanation = None
        if flags.explain or "explain" in client.signatures():
            (explanation,) = client.explain([session])
            _print_unused(session.split(client.separator), explanation)
        if flags.explain and explanation:
            _print_explanation(explanation, flags.k)
            return
        (recommendations,) = client.recommend([session], flags.k, flags.exclude_seen)
    if recommendations.is_fallback:
        print(
            "the session has no click that the model uses; these are the most popular items",
            file=sys.stderr,
        )
    _print_items(recommendations.items)


def _print_unused(session: list[str], explanation: Explanation) -> None:
    """Print how many clicks of a session the model does not use."""
    clicks = [item for item in session if item]
    unknown = [item for item in clicks if item not in set(explanation.clicks)]
    if unknown:
        print(
            f"{len(unknown)} of {len(clicks)} clicks are not used, the first is {unknown[0]!r}: "
            "the model does not know them, or uses only later ones",
            file=sys.stderr,
        )


def _print_items(items: list[tuple[str, float]]) -> None:
    width = max((len(item) for item, _ in items), default=0)
    for rank, (item, score) in enumerate(items, start=1):
        print(f"{rank:3}  {item:{width}}  {score:9.4f}")


def _print_explanation(explanation: Explanation, k: int) -> None:
    if explanation.is_fallback:
        print("no preference group retains a click", file=sys.stderr)
    for number, items in enumerate(explanation.groups, start=1):
        print(f"group {number}: retention of each click")
        for click, retention in zip(
            explanation.clicks, explanation.retention[number - 1], strict=True
        ):
            print(f"     {click}  {retention:.3f}")
        print(f"group {number}: nearest items")
        _print_items(items[:k])


if __name__ == "__main__":
    sys.exit(cli.run(main))
