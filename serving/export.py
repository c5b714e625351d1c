"""Exports a finished run for TensorFlow Serving: `python -m serving.export`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from hln_tf import cli
from hln_tf.errors import UsageError
from hln_tf.workdir import Workdir


def main(arguments: Sequence[str]) -> None:
    """Writes the run's model as a new version below the model directory."""
    parser = cli.Parser(prog="python -m serving.export", description=__doc__)
    add = parser.add_argument
    add("--workdir", required=True, type=Path, help="directory of a finished run")
    add("--output", required=True, type=Path, help="model directory, such as models/hln")
    add("--version", type=int, help="version to write (default: one more than the largest)")
    add("-k", type=int, default=20, help="items for each session (default: %(default)s)")
    flags = parser.parse_args(arguments)
    for name, value in (("--version", flags.version), ("-k", flags.k)):
        if value is not None and value < 1:
            raise UsageError(f"{name} is {value}, expected at least 1")
    workdir = Workdir(flags.workdir)
    workdir.config()
    cli.import_tensorflow()
    from hln_tf.export import export
    from hln_tf.recommender import Recommender

    print(export(Recommender.load(workdir), flags.output, flags.version, flags.k))


if __name__ == "__main__":
    sys.exit(cli.run(main))
