"""The command `python -m beam_preprocess`: write the data set that a model trains on."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from beam_preprocess.datasets import CUSTOM, CUSTOM_DEFAULTS, DATASETS
from beam_preprocess.formats import LogFormat
from beam_preprocess.on_demand import PART_INPUTS
from beam_preprocess.preparation import outputs, prepare_all
from beam_preprocess.settings import Settings, Work
from beam_preprocess.spec import settings_from_flags
from hln_tf.common.cli import Parser, add_settings, run, settings_from, with_flags
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.data.layout import STATS
from hln_tf.data.protocol_settings import PART_FILES

_DESCRIPTION = """\
Turns raw click logs into a data set directory of TFRecords.

  python -m beam_preprocess --dataset yoochoose64 --input yoochoose-clicks.dat --output data

--dataset names the format of the log and the defaults of its published protocol;
every constant of the protocol can be set by a flag. A log of your own is described
by a spec, a YAML file of the keys below and of any of the protocol's names:

  python -m beam_preprocess --dataset custom --spec my_log.yaml \\
      --input clicks.csv --output data/custom

--train_fraction 1/64,1/4 writes both OUTPUT/1-64 and OUTPUT/1-4, and --test_from
2014-09-01,2014-09-08 a data set for each of these cuts (sliding windows, with
--test_days and --train_days), from one reading of the log. Any other flag goes
to Apache Beam; without --runner the pipeline runs in this process.
"""
_INPUT = (
    "raw logs, plain or .gz, .bz2, .zst or .zip: files, directories or patterns such as "
    "'clicks/*.csv'"
)

# The second is its name in the commands that prepare a data set before they use it.
OUTPUT_FLAGS = ("--output", "--data_dir")


def main(arguments: Sequence[str]) -> None:
    """Parse the arguments, prepare the data set and print its counts."""
    parser = Parser(prog="python -m beam_preprocess", description=_DESCRIPTION, epilog=_epilog())
    parser.add_argument("--input", nargs="+", required=True, metavar="RAW", help=_INPUT)
    for name, text in PART_INPUTS.items():
        parser.add_argument(f"--{name}", nargs="+", metavar="RAW", default=[], help=text)
    parser.add_argument("--spec", metavar="YAML", help=f"the spec of --dataset {CUSTOM}")
    parser.add_argument(
        *OUTPUT_FLAGS, dest="output", required=True, metavar="DIR", help="directory to write"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace another data set in --output"
    )
    parser.add_argument("--verbose", action="store_true", help="show the logs of Beam")
    shown_defaults = {"dataset": "none, one must be given", "separator": "a space"}
    title = f"format of a log of your own (--dataset {CUSTOM})"
    add_settings(parser, LogFormat, title, {"missing": "those of pandas"})
    protocol = "protocol (see below for the defaults of each dataset)"
    add_settings(parser, Settings, protocol, shown_defaults)
    add_settings(parser, Work, "work (does not change the data set)")
    parsed, beam_flags = parser.parse_known_args(arguments)
    if "dataset" not in parsed:
        raise UsageError(f"--dataset is missing, expected one of: {', '.join((*DATASETS, CUSTOM))}")
    flag = next((each for each in OUTPUT_FLAGS[1:] if given(each, arguments)), OUTPUT_FLAGS[0])
    try:
        write(parsed, beam_flags)
    except HlnError as error:
        error.args = (str(error).replace("`output`", flag),)
        raise


def given(flag: str, arguments: Sequence[str]) -> bool:
    """Check that a flag is among arguments."""
    return any(argument.partition("=")[0] == flag for argument in arguments)


def write(parsed: argparse.Namespace, beam_flags: Sequence[str]) -> None:
    """Prepare the data set of a command line and print its counts.

    Args:
      parsed: The parsed flags.
      beam_flags: Those for Beam.
    """
    parts = {"validation": parsed.validation_input, "test": parsed.test_input}
    if parsed.test_input:
        parsed.part_files = PART_FILES[bool(parsed.validation_input)]
    elif parsed.validation_input:
        raise UsageError("--validation_input goes with --test_input: give both, or only --input")
    targets = outputs(parsed.output, settings_from_flags(parsed, parsed.spec))
    work = settings_from(Work, parsed)
    if parsed.verbose:
        logging.basicConfig(level=logging.INFO)
    else:
        logging.disable(logging.ERROR)
    # TensorFlow only writes files here: leave the GPU's memory to others.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    prepare_all(parsed.input, targets, work, beam_flags, parsed.overwrite, parts)
    from beam_preprocess import storage
    from beam_preprocess.counts_table import table

    warnings = []
    for output in targets:
        stats = storage.read_json(f"{output}/{STATS}", "write the data set again")
        warnings += [warning for warning in stats["warnings"] if warning not in warnings]
        if len(targets) > 1:
            print(f"{output}:")
        print(table(stats))
    for warning in warnings:
        print(f"warning: {with_flags(warning)}", file=sys.stderr)


def _epilog() -> str:
    lines = [
        "a spec is a YAML file whose keys are the flags of format and protocol",
        "where the datasets have other defaults:",
    ]
    defaults = {name: spec.defaults for name, spec in DATASETS.items()}
    for name, changes in {**defaults, CUSTOM: CUSTOM_DEFAULTS}.items():
        changed = [f"{key} {value!r}" for key, value in changes.items()]
        lines.append(f"  {name}: {', '.join(changed) or 'none'}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run(main))
