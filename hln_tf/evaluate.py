"""Recall and MRR of a trained model: `python -m hln_tf.evaluate --workdir DIR`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from hln_tf.common import cli
from hln_tf.common.errors import UsageError
from hln_tf.data.layout import SPLITS
from hln_tf.training.run_directory import RunDirectory


def main(arguments: Sequence[str]) -> None:
    """Rank a split's targets and print the metrics, of HLN also each group's retention."""
    parser = cli.Parser(prog="python -m hln_tf.evaluate", description=__doc__)
    add = parser.add_argument
    add("--workdir", required=True, type=Path, help="directory of a finished run")
    add("--data_dir", type=Path, help="prepared data set (default: the one of the training)")
    add("--split", choices=SPLITS, default="test", help="part to rank (default: %(default)s)")
    text = "leap gate of HLN instead of the one it was trained with"
    add("--inference_gate", choices=("hard", "expected", "sampled"), help=text)
    flags = parser.parse_args(arguments)
    workdir = RunDirectory(flags.workdir)
    config = workdir.config()
    changes = {"inference_gate": flags.inference_gate} if flags.inference_gate else {}
    if changes and not hasattr(config.model_settings, "inference_gate"):
        raise UsageError(f"--inference_gate does not apply to {config.model}: it has no leap gate")
    data_dir = workdir.data_dir(flags.data_dir)
    cli.import_tensorflow()
    from hln_tf.common.interrupt import StopOnSignal
    from hln_tf.data.prefixes import Prefixes
    from hln_tf.data.sessions import read_sessions
    from hln_tf.models.hln import HLN
    from hln_tf.training.evaluation import evaluate, mean_retention

    prefixes = Prefixes.from_sessions(
        read_sessions(data_dir, flags.split), config.training.max_length
    )
    batch_size = config.training.evaluation_batch_size
    model = workdir.model(**changes)
    with StopOnSignal() as stop:
        metrics = evaluate(model, prefixes, batch_size, flags.split, stop)
    print(f"{flags.split}: {len(prefixes)} prefixes, {config.data.items} items")
    for name, value in metrics.items():
        print(f"{name:10} {100 * value:6.2f} %")
    if isinstance(model, HLN):
        for group, mean in enumerate(mean_retention(model, prefixes, batch_size), start=1):
            print(f"group {group}: mean retention {100 * mean:.2f} %")


if __name__ == "__main__":
    sys.exit(cli.run(main))
