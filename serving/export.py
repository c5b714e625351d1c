"""Export a finished run for TensorFlow Serving: `python -m serving.export`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from hln_tf.common import cli
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.files import as_location, written_here
from hln_tf.retrieval import ServingSettings
from hln_tf.training import RunDirectory
from serving.candidates import choose_candidates

EXAMPLES = """examples:
  python -m serving.export --workdir runs/sample/hln --output models/hln
  python -m serving.export --workdir runs/sample/hln --output models/hln --allow_items stock.txt
"""
MAX_VERSION = 2**63 - 1


def main(arguments: Sequence[str]) -> None:
    """Write the run's model as a new version into the model directory."""
    parser = cli.Parser(prog="python -m serving.export", description=__doc__, epilog=EXAMPLES)
    add = parser.add_argument
    add("--workdir", required=True, type=as_location, help="directory or URL of a finished run")
    add("--output", required=True, help="model directory, such as models/hln")
    add("--version", type=int, help="version to write (default: one more than the largest)")
    text = "file of item ids, one per line: recommend {}; unknown ids are reported and skipped"
    add("--allow_items", type=Path, metavar="FILE", help=text.format("only these items"))
    add("--deny_items", type=Path, metavar="FILE", help=text.format("all items except these"))
    cli.add_settings(parser, ServingSettings, "recommendations")
    flags = parser.parse_args(arguments)
    settings = cli.settings_from(ServingSettings, flags)
    if flags.version is not None and not 1 <= flags.version <= MAX_VERSION:
        raise UsageError(
            f"--version is {flags.version}, expected at least 1 and at most {MAX_VERSION}"
        )
    output, workdir = written_here(flags.output, "output"), RunDirectory(flags.workdir)
    config, results = workdir.config(), workdir.metrics()
    if results is None:
        raise HlnError(
            f"{workdir.path} is not finished: run python -m hln_tf.train with the settings and the "
            f"--workdir of its training to finish it"
        )
    candidates, notes = choose_candidates(workdir.vocabulary(), flags.allow_items, flags.deny_items)
    for note in notes:
        print(note, file=sys.stderr)
    cli.import_tensorflow()
    from hln_tf import Recommender
    from hln_tf.export import describe_run

    recommender = Recommender.load(workdir, candidates=candidates, settings=settings)
    print(recommender.export(output, describe_run(config, results), flags.version))


if __name__ == "__main__":
    sys.exit(cli.run(main))
