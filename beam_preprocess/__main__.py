"""The command `python -m beam_preprocess`: write the data set that a model trains on."""

import logging
import os
import sys
from collections.abc import Sequence

from beam_preprocess.datasets import CUSTOM, CUSTOM_DEFAULTS, DATASETS
from beam_preprocess.formats import LogFormat
from beam_preprocess.preparation import outputs, prepare_all
from beam_preprocess.settings import Settings, Work
from beam_preprocess.spec import settings_from_flags
from hln_tf.common.cli import Parser, add_settings, run, settings_from, with_flags
from hln_tf.common.errors import UsageError
from hln_tf.data.layout import STATS

_DESCRIPTION = """\
Turns raw click logs into a data set directory of TFRecords.

  python -m beam_preprocess --dataset yoochoose64 --input yoochoose-clicks.dat --output data

--dataset names the format of the log and the defaults of its published protocol;
every constant of the protocol can be set by a flag. A log of your own is described
by a spec, a YAML file of the keys below and of any of the protocol's names:

  python -m beam_preprocess --dataset custom --spec my_log.yaml \\
      --input clicks.csv --output data/custom

--train_fraction 1/64,1/4 writes both OUTPUT/1-64 and OUTPUT/1-4. Any other flag goes
to Apache Beam; without --runner the pipeline runs in this process.
"""


def main(arguments: Sequence[str]) -> None:
    """Parse the arguments, prepare the data set and print its counts."""
    parser = Parser(prog="python -m beam_preprocess", description=_DESCRIPTION, epilog=_epilog())
    parser.add_argument(
        "--input", nargs="+", required=True, metavar="RAW", help="raw logs, text plain or .gz"
    )
    parser.add_argument("--spec", metavar="YAML", help=f"the spec of --dataset {CUSTOM}")
    parser.add_argument("--output", required=True, metavar="DIR", help="directory to write")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace another data set in --output"
    )
    parser.add_argument("--verbose", action="store_true", help="show the logs of Beam")
    shown_defaults = {"dataset": "none, one must be given", "separator": "a space"}
    add_settings(parser, LogFormat, f"format of a log of your own (--dataset {CUSTOM})")
    protocol = "protocol (see below for the defaults of each dataset)"
    add_settings(parser, Settings, protocol, shown_defaults)
    add_settings(parser, Work, "work (does not change the data set)")
    parsed, beam_flags = parser.parse_known_args(arguments)
    if "dataset" not in parsed:
        raise UsageError(f"--dataset is missing, expected one of: {', '.join((*DATASETS, CUSTOM))}")
    targets = outputs(parsed.output, settings_from_flags(parsed, parsed.spec))
    work = settings_from(Work, parsed)
    if parsed.verbose:
        logging.basicConfig(level=logging.INFO)
    else:
        logging.disable(logging.ERROR)
    # TensorFlow only writes files here: leave the GPU's memory to others.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    prepare_all(parsed.input, targets, work, beam_flags, parsed.overwrite)
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
