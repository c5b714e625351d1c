"""The command `python -m beam_preprocess.sample`: the demo data set and its optimum."""

import sys
from collections.abc import Sequence

from beam_preprocess.sample.evaluation import OptimumSettings, evaluate
from beam_preprocess.sample.generator import LogSettings, generate
from beam_preprocess.sample.groups import GroupsSettings, compare_groups
from beam_preprocess.sample.process import ProcessSettings
from hln_tf.common.cli import Parser, add_settings, run, settings_from
from hln_tf.training import METRICS

_DESCRIPTION = """\
The demo data set: a click log with planted preference groups, and the best that
any model can do on it.

  python -m beam_preprocess.sample generate --output data/raw
  python -m beam_preprocess --dataset sample \\
      --input data/raw/sample-clicks.dat --output data/sample
  python -m beam_preprocess.sample optimum --raw_dir data/raw --data_dir data/sample
"""


def build_parser() -> Parser:
    """Build the parser of the command's flags."""
    parser = Parser(prog="python -m beam_preprocess.sample", description=_DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    generator = commands.add_parser(
        "generate",
        help="write a click log with planted preference groups",
        description="Writes a click log in the Yoochoose format with planted preference groups, "
        "the group of each click,\nand the process that they are sampled from. The same flags give "
        "the same bytes;\nfiles of an earlier run are replaced.",
    )
    add_settings(generator, LogSettings, "the log")
    add_settings(generator, ProcessSettings, "the process")
    optimum = commands.add_parser(
        "optimum",
        help="evaluate the best possible model on the prepared sample",
        description="Evaluates the exact predictive distribution of the sample's process on the "
        "test split,\nthe bound that no model can beat on average.",
    )
    add_settings(optimum, OptimumSettings, "the evaluation")
    groups = commands.add_parser(
        "groups",
        help="compare a trained model's preference groups with the planted ones",
        description="Assigns each click that is not noise to the preference group with the highest "
        "retention,\nand prints how far these groups agree with the planted ones: the mean "
        "adjusted Rand index\nof newly sampled sessions, 1 for full agreement and 0 by chance. "
        "With --data_dir the sessions\nare real: pairs of test sessions, interleaved, and the "
        "groups are the sessions of a pair.",
    )
    add_settings(groups, GroupsSettings, "the comparison")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Run one of the commands."""
    flags = build_parser().parse_args(arguments)
    if flags.command == "generate":
        log_settings = settings_from(LogSettings, flags)
        for path in generate(settings_from(ProcessSettings, flags), log_settings):
            print(f"wrote {path}")
        return
    if flags.command == "groups":
        for name, index in compare_groups(settings_from(GroupsSettings, flags)).items():
            print(f"{name:10} {index:7.4f}")
        return
    settings = settings_from(OptimumSettings, flags)
    test = evaluate(settings)["test"]
    print(f"{test['prefixes']} test prefixes, optimum of the process:")
    print("  ".join(f"{name} {test[name]:.4f}" for name in test if "@" in name))
    print(f"wrote {settings.workdir}/{METRICS}")


if __name__ == "__main__":
    sys.exit(run(main))
