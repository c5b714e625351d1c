"""`python -m beam_preprocess`: writes the data set that the model trains on."""

import logging
import os
import sys
from collections.abc import Sequence

from beam_preprocess.datasets import DATASETS
from beam_preprocess.preparation import prepare
from beam_preprocess.settings import Settings, Work
from hln_tf.cli import Parser, add_settings, run, settings_from
from hln_tf.data.layout import STATS
from hln_tf.errors import UsageError
from hln_tf.files import read_json

_DESCRIPTION = """\
Turns raw click logs into a data set directory of TFRecords.

  python -m beam_preprocess --dataset yoochoose64 --input yoochoose-clicks.dat --output data

--dataset names the format of the log and the defaults of its published protocol;
every constant of the protocol can be set by a flag. Any other flag goes to Apache
Beam; without --runner the pipeline runs in this process.
"""


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, prepares the data set and prints its counts."""
    parser = Parser(
        prog="python -m beam_preprocess", description=_DESCRIPTION, epilog=_dataset_defaults()
    )
    parser.add_argument(
        "--input", nargs="+", required=True, metavar="RAW", help="raw logs, plain or .gz"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="directory to write")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace another data set in --output"
    )
    parser.add_argument("--verbose", action="store_true", help="show the logs of Beam")
    shown = {"dataset": "none, one must be given", "separator": "a space"}
    add_settings(parser, Settings, "protocol (see below for the defaults of each dataset)", shown)
    add_settings(parser, Work, "work (does not change the data set)")
    parsed, beam_flags = parser.parse_known_args(arguments)
    if "dataset" not in parsed:
        raise UsageError(f"--dataset is missing, expected one of: {', '.join(DATASETS)}")
    settings = settings_from(Settings, parsed, DATASETS[parsed.dataset].defaults)
    work = settings_from(Work, parsed)
    if not parsed.verbose:
        logging.disable(logging.ERROR)
    # TensorFlow only writes files here: leave the GPU's memory to others.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    prepare(parsed.input, parsed.output, settings, work, beam_flags, parsed.overwrite)
    stats = read_json(f"{parsed.output}/{STATS}", "write the data set again")
    for warning in stats["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    from beam_preprocess.report import table

    print(table(stats))


def _dataset_defaults() -> str:
    lines = ["where the datasets have other defaults:"]
    for name, dataset in DATASETS.items():
        changed = [f"{key} {value!r}" for key, value in dataset.defaults.items()]
        lines.append(f"  {name}: {', '.join(changed) or 'none'}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run(main))
