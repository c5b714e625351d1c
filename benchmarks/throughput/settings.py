"""Settings and flags of the throughput benchmarks. Imports no TensorFlow."""

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from hln_tf.analysis import markdown
from hln_tf.common import cli
from hln_tf.common.errors import UsageError
from hln_tf.common.settings import checked, setting
from hln_tf.data.layout import Manifest


@dataclasses.dataclass(frozen=True)
class ThroughputSettings:
    """Amount of work that is measured."""

    batches: int = setting(20, "batches in a round", minimum=1, maximum=10_000)
    rounds: int = setting(7, "rounds; each runs every implementation once", minimum=1)
    seed: int = setting(1, "fixes weights, batches and noise", minimum=0, maximum=2**32 - 1)

    def __post_init__(self) -> None:
        checked(self)


@dataclasses.dataclass(frozen=True)
class ModelThroughputSettings:
    """Amount of training that is measured for each model."""

    prefixes: int = setting(
        20_480, "train prefixes in a round, the same for all models", minimum=1, maximum=10**9
    )
    rounds: int = setting(3, "rounds; each trains every model once", minimum=1)
    seed: int = setting(1, "fixes weights, batches and noise", minimum=0, maximum=2**32 - 1)

    def __post_init__(self) -> None:
        checked(self)


def parse_flags(
    arguments: Sequence[str],
    prog: str,
    description: str,
    add_flags: Callable[[cli.Parser], None] = lambda parser: None,
) -> tuple[argparse.Namespace, ThroughputSettings]:
    """Parse the flags that the benchmarks of HLN share.

    Args:
      arguments: The arguments after the program's name.
      prog: The command, for `--help`.
      description: Its description, for `--help`.
      add_flags: Adds the benchmark's own flags.

    Returns:
      The flags `data_dir` and `batch_size` and the benchmark's own, and the settings.

    Raises:
      UsageError: A flag or value is not allowed.
    """
    parser = cli.Parser(prog=prog, description=description)
    add = parser.add_argument
    add("--data_dir", required=True, type=Path, help="a prepared data set")
    text = "batch sizes (default: 64 256 1024)"
    add("--batch_size", nargs="+", type=int, default=[64, 256, 1024], help=text)
    add_flags(parser)
    cli.add_settings(parser, ThroughputSettings, "benchmark")
    flags = parser.parse_args(arguments)
    for size in flags.batch_size:
        if size < 1:
            raise UsageError(f"--batch_size has {size}, expected whole numbers of at least 1")
    return flags, cli.settings_from(ThroughputSettings, flags)


def print_rates(
    arguments: Sequence[str],
    name: str,
    description: str,
    load: Callable[[], tuple[Sequence[str], Callable[..., list[list[str]]]]],
    texts: int,
    split: str = "train",
) -> None:
    """Measure each batch size, and print the table.

    Args:
      arguments: The arguments after the program's name.
      name: Name of the benchmark.
      description: Its description, for `--help`.
      load: Returns the table's header, and the function of prefixes, size of the catalogue,
        batch size and settings that measures its rows; called once TensorFlow is imported.
      texts: Columns of text, which come first.
      split: The part that the prefixes are of.

    Raises:
      UsageError: A flag or value is not allowed.
      HlnError: The data set is unusable.
    """
    flags, settings = parse_flags(arguments, f"python -m benchmarks.{name}", description)
    num_items = Manifest.read(flags.data_dir).items
    cli.import_tensorflow()
    from benchmarks.throughput.operations import read_prefixes

    header, measure = load()
    prefixes = read_prefixes(flags.data_dir, split)
    rows = [header]
    for size in flags.batch_size:
        rows += measure(prefixes, num_items, size, settings)
    print(f"{num_items:,} items; figures of the best round / the median round\n")
    print(markdown(rows, texts))
