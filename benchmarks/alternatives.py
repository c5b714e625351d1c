"""Training throughput of other packages: `python -m benchmarks.alternatives --data_dir DIR`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.others.rounds import AlternativesSettings, Work
from hln_tf.analysis import markdown
from hln_tf.common import cli
from hln_tf.data.layout import Manifest
from hln_tf.data.sessions import read_sessions

_DESCRIPTION = """\
Measures the training steps of what a user would run instead of this package, each next
to this package's model of the same kind, interleaved in one process: HLN in PyTorch
after the paper's equations, RecBole's GRU4Rec, NARM and SR-GNN, GRU4Rec's official
PyTorch code, and BPR of implicit. Batch size, catalogue, sizes and threads are the same;
the prefixes are too, but for the last two, which learn from whole sessions. What is not
installed (pip install torch recbole implicit) is skipped with a line.

  python -m benchmarks.alternatives --data_dir data/yoochoose64 --gru4rec_path GRU4Rec
"""
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def main(arguments: Sequence[str]) -> None:
    """Measure the implementations and print the table.

    Raises:
      UsageError: A flag or value is not allowed.
      HlnError: The data set is unusable.
    """
    parser = cli.Parser(prog="python -m benchmarks.alternatives", description=_DESCRIPTION)
    add = parser.add_argument
    add("--data_dir", required=True, type=Path, help="a prepared data set")
    text = "checkout of GRU4Rec's official PyTorch code, which is on no package index"
    add("--gru4rec_path", type=Path, metavar="DIR", help=text)
    cli.add_settings(parser, AlternativesSettings, "benchmark")
    flags = parser.parse_args(arguments)
    settings = cli.settings_from(AlternativesSettings, flags)
    manifest = Manifest.read(flags.data_dir)
    os.environ |= dict.fromkeys(_THREADS, str(settings.threads))
    # What PyTorch compiles kernels of GPUs with: its LLVM and TensorFlow's end the process.
    sys.modules["triton"] = None  # type: ignore[assignment]
    cli.import_tensorflow()
    from benchmarks.others.comparison import HEADER, compare

    work = Work.choose(read_sessions(flags.data_dir, "train"), manifest.items, settings)
    rows, skipped = compare(work, flags.gru4rec_path)
    unit = "processor time of all threads" if settings.cpu_time else "time"
    print(
        f"{manifest.items:,} items, {len(work.prefixes):,} train prefixes in batches of "
        f"{settings.batch_size}, {settings.threads} threads; {unit}, figures of the best round / "
        f"the median round\n"
    )
    if rows:
        print(markdown([HEADER, *rows], texts=2))
    print("\n".join(skipped))


if __name__ == "__main__":
    sys.exit(cli.run(main))
