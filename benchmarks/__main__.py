"""Measurements: `python -m benchmarks table1|models|train|predict|evaluate`."""

import sys
from collections.abc import Sequence

from benchmarks import models, speed, table1
from hln_tf.common import cli


def main(arguments: Sequence[str]) -> None:
    """Runs one benchmark."""
    parser = cli.Parser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    for module in (table1, models):
        command = commands.add_parser(module.NAME, help=module.HELP, description=module.DESCRIPTION)
        module.add_flags(command)
        command.set_defaults(run=module.run)
    for name, text in speed.HELPS.items():
        command = commands.add_parser(name, help=text, description=speed.DESCRIPTION)
        speed.add_flags(command)
        command.set_defaults(run=speed.run)
    flags = parser.parse_args(arguments)
    flags.run(flags)


if __name__ == "__main__":
    sys.exit(cli.run(main))
