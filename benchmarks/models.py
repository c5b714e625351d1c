"""Training throughput of several models: `python -m benchmarks.models --data_dir DIR`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.model_preset import ModelPreset
from benchmarks.throughput.settings import ModelThroughputSettings
from hln_tf.analysis import markdown
from hln_tf.common import cli
from hln_tf.common.errors import UsageError
from hln_tf.data.layout import Manifest

_DESCRIPTION = """\
Measures the training steps of several models, interleaved in one process, each with its
preset's batch size, loss and optimiser, on the same train prefixes. Prints examples/s, the
seconds of a whole epoch at that rate, and the time relative to the first model's, each of
the best round and of the median round.

  python -m benchmarks.models --data_dir data/yoochoose64 --models stamp sr_gnn
"""


def main(arguments: Sequence[str]) -> None:
    """Measure the models and print the table.

    Raises:
      UsageError: A flag or value is not allowed, or a model has no training steps.
      HlnError: The data set is unusable.
    """
    parser = cli.Parser(prog="python -m benchmarks.models", description=_DESCRIPTION)
    add = parser.add_argument
    add("--data_dir", required=True, type=Path, help="a prepared data set")
    text = "models to train, as MODEL, MODEL:PRESET or MODEL:PRESET:NAME=VALUE,NAME=VALUE; the "
    text += "others are compared with the first"
    add("--models", required=True, nargs="+", metavar="MODEL", help=text)
    cli.add_settings(parser, ModelThroughputSettings, "benchmark")
    flags = parser.parse_args(arguments)
    settings = cli.settings_from(ModelThroughputSettings, flags)
    models = list(dict.fromkeys(map(ModelPreset.parse, flags.models)))
    for model in models:
        if not model.is_trained:
            raise UsageError(f"--models has {model.model}, which counts and has no training steps")
    manifest = Manifest.read(flags.data_dir)
    cli.import_tensorflow()
    from benchmarks.throughput.models import HEADER, measure_models

    rows = measure_models(models, flags.data_dir, manifest, settings)
    train = manifest.splits["train"]
    prefixes = min(settings.prefixes, train.prefixes)
    print(
        f"{manifest.items:,} items, {prefixes:,} of {train.prefixes:,} train prefixes; figures of "
        f"the best round / the median round\n"
    )
    print(markdown([HEADER, *rows], texts=3))


if __name__ == "__main__":
    sys.exit(cli.run(main))
