"""Cost per click by the number of clicks: `python -m benchmarks.scale`."""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import ProcessCost, measure, python
from hln_tf.common import cli
from hln_tf.common.errors import UsageError
from hln_tf.data.layout import VOCABULARY, Manifest

_DESCRIPTION = """\
Generates logs of Yoochoose's shape and of several sizes, prepares each, reads its examples
streamed and trains on them for some steps; prints processor time, memory and bytes of each
size, and by these what a larger log would cost. Flags after -- go to Apache Beam:

  python -m benchmarks.scale --clicks 100000 1000000 10000000
  python -m benchmarks.scale --clicks 100000 1000000 -- --runner PrismRunner \\
      --environment_type LOOPBACK

Parts and files are as many as keep those of a worker at one size: one of each for
--clicks_per_part clicks, at least 16 parts and 4 files.
"""
MILLION, GIGABYTE = 1e6, 1e9


@dataclasses.dataclass(frozen=True)
class Size:
    """The cost of a log of some clicks.

    Attributes:
      clicks: Clicks of the log.
      generating: Its generation.
      preparing: The preparation of its data set.
      streaming: Reading of all examples once, and some steps of training.
      raw_bytes: Of the log.
      exchanged_bytes: Of the batches that the steps of the preparation handed over.
      written_bytes: Of the data set.
      side_bytes: Of the largest side input: ids and indices of all items.
      counts: What the program of `streaming` printed.
    """

    clicks: int
    generating: ProcessCost
    preparing: ProcessCost
    streaming: ProcessCost
    raw_bytes: int
    exchanged_bytes: int
    written_bytes: int
    side_bytes: int
    counts: dict[str, float]


def measure_size(
    clicks: int, directory: Path, flags: argparse.Namespace, beam_flags: Sequence[str]
) -> Size:
    """Generate, prepare and stream a log.

    Args:
      clicks: Clicks of the log.
      directory: An empty directory.
      flags: Those of the command.
      beam_flags: Those for Beam.
    """
    log, data, counts, out = (directory / name for name in ("log", "data", "exchange", "streamed"))
    generate = ("beam_preprocess.generate", "--clicks", str(clicks), "--output", str(log))
    generating = measure(python("-m", *generate))
    parts = clicks // flags.clicks_per_part
    prepare = ["--dataset", "sample", "--input", str(log), "--output", str(data)]
    prepare += ["--partitions", str(max(parts, 16)), "--shards", str(max(parts, 4)), *beam_flags]
    preparing = measure(python("-m", "benchmarks.scaling.exchange", str(counts), *prepare))
    stream = (str(data), str(out), str(flags.steps), str(flags.batch_size))
    streaming = measure(python("-m", "benchmarks.scaling.streamed", *stream))
    return Size(
        clicks=clicks,
        generating=generating,
        preparing=preparing,
        streaming=streaming,
        raw_bytes=log.stat().st_size,
        exchanged_bytes=json.loads(counts.read_text())["bytes"],
        written_bytes=sum(path.stat().st_size for path in data.rglob("*") if path.is_file()),
        # An id in Arrow has an offset of 4 bytes, an index has 4 bytes.
        side_bytes=(data / VOCABULARY).stat().st_size + 8 * Manifest.read(data).items,
        counts=json.loads(out.read_text()),
    )


def costs_table(sizes: Sequence[Size]) -> str:
    """Format the costs of the sizes in Markdown."""
    lines = [
        "| clicks | preparing: CPU s per million clicks | wall s | peak memory | exchanged bytes "
        "per click | data set bytes per click | generating: CPU s per million | peak memory "
        "| streaming: CPU s per million examples | peak memory with training |",
        f"|--:{'|--:' * 9}|",
    ]
    for size in sizes:
        millions = size.clicks / MILLION
        cells = [
            f"{size.clicks:,}",
            f"{size.preparing.cpu_seconds / millions:.1f}",
            f"{size.preparing.seconds:.0f}",
            _megabytes(size.preparing),
            f"{size.exchanged_bytes / size.clicks:.0f}",
            f"{size.written_bytes / size.clicks:.1f}",
            f"{size.generating.cpu_seconds / millions:.1f}",
            _megabytes(size.generating),
            f"{size.counts['read_cpu_seconds'] / size.counts['examples'] * MILLION:.1f}",
            _megabytes(size.streaming),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def plan_table(size: Size, clicks: Sequence[int], hours: float, core_price: float) -> str:
    """Format the costs of larger logs, in proportion to a measured one.

    Args:
      size: The measured log.
      clicks: Clicks of the larger ones.
      hours: Wall time that each may take.
      core_price: Price of a core for an hour.
    """
    lines = [
        f"| clicks | CPU hours | cores for {hours:g} h | raw log | exchanged | data set "
        f"| cost at {core_price:g} a core and hour |",
        f"|--:{'|--:' * 6}|",
    ]
    for each in clicks:
        times = each / size.clicks
        core_hours = size.preparing.cpu_seconds * times / 3600
        volumes = (size.raw_bytes, size.exchanged_bytes, size.written_bytes)
        cells = [
            f"{each:,}",
            f"{core_hours:.1f}",
            f"{max(1, -(-core_hours // hours)):.0f}",
            *(_gigabytes(volume * times) for volume in volumes),
            f"{core_hours * core_price:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    per_item = size.side_bytes / size.counts["items"]
    lines += [
        "",
        f"The largest side input has {per_item:.0f} bytes an item, in every worker: "
        f"{per_item:.0f} MB for a million items. This log has {size.counts['items']:,}.",
    ]
    return "\n".join(lines)


def _megabytes(cost: ProcessCost) -> str:
    return f"{cost.peak_bytes / MILLION:,.0f} MB"


def _gigabytes(count: float) -> str:
    number = count / GIGABYTE
    return f"{number:,.0f} GB" if number >= 1 else f"{number:.1f} GB"


def main(arguments: Sequence[str]) -> None:
    """Measure the sizes and print the tables.

    Raises:
      HlnError: A program fails.
      UsageError: A number is not allowed.
    """
    own, beam_flags = _split(arguments)
    parser = cli.Parser(prog="python -m benchmarks.scale", description=_DESCRIPTION)
    add = parser.add_argument
    text = "sizes of the logs (default: %(default)s)"
    add("--clicks", nargs="+", type=int, default=[100_000, 1_000_000], metavar="N", help=text)
    text = "clicks for which there is one part and one file (default: %(default)s)"
    add("--clicks_per_part", type=int, default=1_000_000, metavar="N", help=text)
    add("--steps", type=int, default=200, help="steps of training (default: %(default)s)")
    add("--batch_size", type=int, default=512, help="examples in a step (default: %(default)s)")
    text = "clicks of the logs that are planned (default: %(default)s)"
    planned = [10**8, 10**9, 10**10]
    add("--plan", nargs="+", type=int, default=planned, metavar="N", help=text)
    text = "wall time that a planned log may take (default: %(default)s)"
    add("--hours", type=float, default=1.0, help=text)
    text = "price of a core for an hour, of any currency (default: %(default)s)"
    add("--core_price", type=float, default=0.05, help=text)
    text = "parent of the temporary directory for logs and data sets"
    add("--directory", metavar="DIR", help=text)
    flags = parser.parse_args(own)
    numbers = [*flags.clicks, *flags.plan, flags.clicks_per_part, flags.steps, flags.batch_size]
    if min(numbers) < 1 or flags.hours <= 0:
        raise UsageError("clicks, parts, steps, examples and hours are positive numbers")
    sizes = []
    for clicks in flags.clicks:
        with tempfile.TemporaryDirectory(dir=flags.directory) as directory:
            sizes.append(measure_size(clicks, Path(directory), flags, beam_flags))
        print(costs_table(sizes[-1:]), file=sys.stderr)
    print(costs_table(sizes))
    print(f"\n{plan_table(sizes[-1], flags.plan, flags.hours, flags.core_price)}")


def _split(arguments: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Split a command line at `--`."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    return arguments[:end], arguments[end + 1 :]


if __name__ == "__main__":
    sys.exit(cli.run(main))
