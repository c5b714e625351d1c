"""Preprocessing throughput: `python -m benchmarks.preprocessing`."""

import dataclasses
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from beam_preprocess.generate import LogSettings, generate
from benchmarks.processes import ProcessCost, measure, python
from hln_tf.common import cli
from hln_tf.common.errors import HlnError
from hln_tf.common.progress import progress_bar
from hln_tf.common.settings import checked, setting

PACKAGE = "beam_preprocess"
IN_MEMORY = "in memory, one process"
ELEMENTWISE = "Beam, one element per click"

_DESCRIPTION = """\
Preprocesses a generated log of Yoochoose's shape with the pipeline of this package, with
its protocol in memory in one process, and with a Beam pipeline of one element per click on
the same runner, interleaved; checks that all results are equal, and prints the time and
memory of each.

  python -m benchmarks.preprocessing --clicks 5000000 --rounds 3
"""


@dataclasses.dataclass(frozen=True)
class BenchmarkSettings:
    """Amount of work that is measured."""

    clicks: int = setting(5_000_000, "clicks of the log", minimum=1_000)
    naive_clicks: int = setting(
        1_000_000,
        "clicks of the log for the pipeline of one element per click; 0 leaves it out",
        minimum=0,
    )
    rounds: int = setting(3, "rounds; each runs every program once", minimum=1)
    seed: int = setting(1, "seed of the logs", minimum=0)

    def __post_init__(self) -> None:
        checked(self)


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that preprocesses a log.

    Attributes:
      name: Its name in the table.
      command: Arguments of the interpreter, with `{log}` and `{out}` for the paths.
      clicks: Clicks of its log.
    """

    name: str
    command: tuple[str, ...]
    clicks: int


def list_programs(settings: BenchmarkSettings) -> list[Program]:
    """List the programs in the order of a round."""
    package = ("beam_preprocess", "--dataset", "sample", "--input", "{log}", "--output", "{out}")
    baselines = "benchmarks.preprocessing_baselines"
    programs = [
        Program(PACKAGE, package, settings.clicks),
        Program(IN_MEMORY, (f"{baselines}.in_memory", "{log}", "{out}"), settings.clicks),
    ]
    if settings.naive_clicks:
        command = (f"{baselines}.elementwise", "{log}", "{out}")
        clicks = min(settings.clicks, settings.naive_clicks)
        programs.append(Program(ELEMENTWISE, command, clicks))
    return programs


def compare(settings: BenchmarkSettings, directory: Path) -> dict[str, list[ProcessCost]]:
    """Run the programs in turn and check their results.

    Args:
      settings: Amount of work.
      directory: Directory for logs and results.

    Returns:
      Time and memory of each round of each program, by the program's name.

    Raises:
      HlnError: A program fails, or two results differ.
    """
    programs = list_programs(settings)
    logs = {}
    for clicks in {program.clicks for program in programs}:
        logs[clicks] = str(directory / f"{clicks}.log")
        generate(LogSettings(output=logs[clicks], clicks=clicks, seed=settings.seed))
    costs: dict[str, list[ProcessCost]] = {program.name: [] for program in programs}
    with progress_bar("comparing", "runs", settings.rounds * len(programs)) as bar:
        for round_number in range(settings.rounds):
            for program in programs:
                bar.set_postfix_str(program.name)
                out = str(directory / f"{program.clicks}-{program.name}-{round_number}")
                costs[program.name].append(_run(program.command, logs[program.clicks], out))
                bar.update()
    for clicks, log in logs.items():
        if not (directory / f"{clicks}-{PACKAGE}-0").exists():
            _run(programs[0].command, log, str(directory / f"{clicks}-{PACKAGE}-0"))
    check_results(directory, list(logs))
    return costs


def _run(command: Sequence[str], log: str, out: str) -> ProcessCost:
    return measure(python("-m", *(part.format(log=log, out=out) for part in command)))


def check_results(directory: Path, clicks: Sequence[int]) -> None:
    """Check that all results of each log are equal.

    Raises:
      HlnError: Two results of one log differ.
    """
    cli.import_tensorflow()
    from benchmarks.preprocessing_baselines import result

    for count in clicks:
        first = result.read(str(directory / f"{count}-{PACKAGE}-0"))
        for out in sorted(directory.glob(f"{count}-*-*")):
            other = result.read(str(out))
            if other.digest() != first.digest():
                raise HlnError(
                    f"{out.name} has another result than {PACKAGE}: "
                    f"{other.counts()} instead of {first.counts()}"
                )
        print(f"same result for {count:,} clicks, digest {first.digest()[:16]}: {first.counts()}")


def format_table(settings: BenchmarkSettings, costs: dict[str, list[ProcessCost]]) -> str:
    """Format the costs as a Markdown table."""
    lines = [
        "| | clicks | clicks/s, median | clicks/s, min | seconds, median | CPU seconds, median "
        f"| peak memory | speed-up of {PACKAGE} |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    programs = list_programs(settings)
    rates = {
        program.name: [program.clicks / run.seconds for run in costs[program.name]]
        for program in programs
    }
    for program in programs:
        runs = costs[program.name]
        rate = statistics.median(rates[program.name])
        cells = [
            program.name,
            f"{program.clicks:,}",
            f"{rate:,.0f}",
            f"{min(rates[program.name]):,.0f}",
            f"{statistics.median(run.seconds for run in runs):.1f}",
            f"{statistics.median(run.cpu_seconds for run in runs):.1f}",
            f"{max(run.peak_bytes for run in runs) / 1e6:,.0f} MB",
            f"{statistics.median(rates[PACKAGE]) / rate:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Compare the programs and print the table.

    Raises:
      HlnError: A program fails, or two results differ.
    """
    parser = cli.Parser(prog="python -m benchmarks.preprocessing", description=_DESCRIPTION)
    cli.add_settings(parser, BenchmarkSettings, "the comparison")
    text = "parent of the temporary directory for logs and results"
    parser.add_argument("--directory", metavar="DIR", help=text)
    flags = parser.parse_args(arguments)
    settings = cli.settings_from(BenchmarkSettings, flags)
    with tempfile.TemporaryDirectory(dir=flags.directory) as directory:
        costs = compare(settings, Path(directory))
    print(format_table(settings, costs))


if __name__ == "__main__":
    sys.exit(cli.run(main))
