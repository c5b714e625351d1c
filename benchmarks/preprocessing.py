"""`python -m benchmarks.preprocessing`: preprocessing against two plain programs."""

import dataclasses
import importlib.util
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beam_preprocess.generate import LogSettings, generate
from benchmarks.processes import Measured, measure, python
from hln_tf.common.cli import Parser, add_settings, import_tensorflow, run, settings_from
from hln_tf.common.errors import HlnError
from hln_tf.common.progress import progress_bar
from hln_tf.common.settings import checked, setting

OURS, DATAFRAME, ELEMENTWISE = "beam_preprocess", "pandas", "Beam, an element a click"

_DESCRIPTION = """\
Prepares a made-up log of Yoochoose's shape with this package, with a plain pandas
script in one process, and with a Beam pipeline of one element for each click on the
same runner, in turn; checks that all have the same result, and prints what each took.

  python -m benchmarks.preprocessing --clicks 5000000 --rounds 3
"""


@dataclasses.dataclass(frozen=True)
class BenchmarkSettings:
    """What to compare."""

    clicks: int = setting(5_000_000, "clicks of the log", minimum=1_000)
    naive_clicks: int = setting(
        1_000_000,
        "clicks of the log for the pipeline of one element a click; 0 leaves it out",
        minimum=0,
    )
    rounds: int = setting(3, "how often each one runs", minimum=1)
    seed: int = setting(1, "seed of the logs", minimum=0)

    def __post_init__(self) -> None:
        checked(self)


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A program that prepares a log; `{log}` and `{out}` stand for paths in its command."""

    name: str
    command: tuple[str, ...]
    clicks: int


def contestants(settings: BenchmarkSettings) -> list[Contestant]:
    """The programs in the order in which they take turns."""
    module = "beam_preprocess"
    ours = (module, "--dataset", "sample", "--input", "{log}", "--output", "{out}")
    plain = (f"{module}.baselines.dataframe", "{log}", "{out}")
    naive = (f"{module}.baselines.elementwise", "{log}", "{out}")
    found = [
        Contestant(OURS, ours, settings.clicks),
        Contestant(DATAFRAME, plain, settings.clicks),
    ]
    if settings.naive_clicks:
        found.append(Contestant(ELEMENTWISE, naive, min(settings.clicks, settings.naive_clicks)))
    return found


def compare(settings: BenchmarkSettings, directory: Path) -> dict[str, list[Measured]]:
    """Runs the programs in turn.

    Args:
      settings: What to compare.
      directory: Where logs and results may be written.

    Returns:
      What each round of each program took, by the program's name.

    Raises:
      HlnError: A program fails, or two results differ.
    """
    programs = contestants(settings)
    logs = {}
    for clicks in {program.clicks for program in programs}:
        logs[clicks] = str(directory / f"{clicks}.log")
        generate(LogSettings(output=logs[clicks], clicks=clicks, seed=settings.seed))
    taken: dict[str, list[Measured]] = {program.name: [] for program in programs}
    with progress_bar("comparing", "runs", settings.rounds * len(programs)) as bar:
        for turn in range(settings.rounds):
            for program in programs:
                bar.set_postfix_str(program.name)
                out = str(directory / f"{program.clicks}-{program.name}-{turn}")
                taken[program.name].append(_run(program.command, logs[program.clicks], out))
                bar.update()
    for clicks, log in logs.items():
        if not (directory / f"{clicks}-{OURS}-0").exists():
            _run(programs[0].command, log, str(directory / f"{clicks}-{OURS}-0"))
    check_results(directory, list(logs))
    return taken


def _run(command: Sequence[str], log: str, out: str) -> Measured:
    return measure(python("-m", *(part.format(log=log, out=out) for part in command)))


def check_results(directory: Path, clicks: Sequence[int]) -> None:
    """Compares what was written for each log.

    Raises:
      HlnError: Two results of one log differ.
    """
    import_tensorflow()
    from benchmarks.preprocessing_baselines import result

    for count in clicks:
        first = result.read(str(directory / f"{count}-{OURS}-0"))
        for out in sorted(directory.glob(f"{count}-*-*")):
            other = result.read(str(out))
            if other.digest() != first.digest():
                raise HlnError(
                    f"{out.name} has another result than {OURS}: "
                    f"{other.counts()} in place of {first.counts()}"
                )
        print(f"same result for {count:,} clicks, digest {first.digest()[:16]}: {first.counts()}")


def table(settings: BenchmarkSettings, taken: dict[str, list[Measured]]) -> str:
    """A Markdown table; of the rates, the lowest is the slowest round's."""
    lines = [
        "| | clicks | clicks/s, median | clicks/s, min | seconds, median | CPU seconds, median "
        "| peak memory | ours is faster by |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    programs = contestants(settings)
    rates = {
        program.name: [program.clicks / run.seconds for run in taken[program.name]]
        for program in programs
    }
    for program in programs:
        runs = taken[program.name]
        rate = statistics.median(rates[program.name])
        cells: list[Any] = [
            program.name,
            f"{program.clicks:,}",
            f"{rate:,.0f}",
            f"{min(rates[program.name]):,.0f}",
            f"{statistics.median(run.seconds for run in runs):.1f}",
            f"{statistics.median(run.cpu_seconds for run in runs):.1f}",
            f"{max(run.peak_bytes for run in runs) / 1e6:,.0f} MB",
            f"{statistics.median(rates[OURS]) / rate:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, compares and prints the table."""
    parser = Parser(prog="python -m benchmarks.preprocessing", description=_DESCRIPTION)
    add_settings(parser, BenchmarkSettings, "the comparison")
    parser.add_argument("--directory", metavar="DIR", help="where logs and results stand meanwhile")
    parsed = parser.parse_args(arguments)
    settings = settings_from(BenchmarkSettings, parsed)
    if importlib.util.find_spec("pandas") is None:
        raise HlnError("pandas is missing: install it with pip install 'hln-tf[benchmark]'")
    with tempfile.TemporaryDirectory(dir=parsed.directory) as directory:
        taken = compare(settings, Path(directory))
    print(table(settings, taken))


if __name__ == "__main__":
    sys.exit(run(main))
