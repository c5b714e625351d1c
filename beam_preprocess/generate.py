"""The command `python -m beam_preprocess.generate`: a synthetic log of any size."""

import contextlib
import dataclasses
import gzip
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from hln_tf.common.cli import Parser, add_settings, run, settings_from
from hln_tf.common.errors import UsageError
from hln_tf.common.files import atomic_write
from hln_tf.common.progress import progress_bar
from hln_tf.common.settings import checked, setting

SHAPES = ("yoochoose", "lastfm", "diginetica", "retailrocket")

_DESCRIPTION = """\
Writes a synthetic raw log with the shape of a public one, in blocks, so that memory
does not grow with the log.

  python -m beam_preprocess.generate --shape yoochoose --clicks 5000000 --output clicks.dat

The clicks have no preferences to learn: they measure preprocessing, not models. The
same flags give the same rows. An --output that ends in .gz is written as gzip.
"""


@dataclasses.dataclass(frozen=True)
class LogSettings:
    """The settings of a synthetic raw log."""

    output: str = setting("", "file to write or to replace; .gz at the end compresses it")
    shape: str = setting("yoochoose", "the public log to resemble", choices=SHAPES)
    clicks: int = setting(5_000_000, "number of rows", minimum=1, maximum=2_000_000_000)
    items: int = setting(
        0,
        "items that clicks are sampled from; 0: as many as the public log has",
        minimum=0,
        maximum=100_000_000,
    )
    seed: int = setting(1, "seed of the random numbers", minimum=0)

    def __post_init__(self) -> None:
        checked(self)
        if not self.output:
            raise UsageError("--output is missing: name the file to write")
        if Path(self.output).is_dir():
            raise UsageError(f"--output {self.output} is a directory, expected a file")


def generate(settings: LogSettings) -> None:
    """Write the log atomically."""
    from beam_preprocess import synthetic_logs

    generate_blocks = getattr(synthetic_logs, settings.shape)
    blocks = generate_blocks(settings.clicks, settings.seed, settings.items)
    with (
        atomic_write(settings.output) as temporary,
        _opened(temporary, compressed=settings.output.endswith(".gz")) as file,
        progress_bar(f"writing {settings.output}", "clicks", settings.clicks) as bar,
    ):
        for clicks, text in blocks:
            file.write(text)
            bar.update(clicks)


@contextlib.contextmanager
def _opened(path: Path, compressed: bool) -> Iterator[BinaryIO]:
    with open(path, "wb") as file:
        if not compressed:
            yield file
            return
        # Without name and time in the header, so that equal rows give equal bytes.
        with gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as stream:
            yield cast(BinaryIO, stream)


def main(arguments: Sequence[str]) -> None:
    """Parse the arguments and write the log."""
    parser = Parser(prog="python -m beam_preprocess.generate", description=_DESCRIPTION)
    add_settings(parser, LogSettings, "the log", {"output": "none, one must be given"})
    settings = settings_from(LogSettings, parser.parse_args(arguments))
    generate(settings)
    print(f"wrote {settings.output}")


if __name__ == "__main__":
    sys.exit(run(main))
