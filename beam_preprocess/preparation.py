"""From raw files to a finished data set directory."""

import contextlib
import dataclasses
import importlib
import io
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beam_preprocess import progress
from beam_preprocess.datasets import DATASETS
from beam_preprocess.read import RawFile, find_files
from beam_preprocess.settings import Settings, Work
from hln_tf.cli import Parser
from hln_tf.data.layout import MANIFEST, SPLITS, STATS, VOCABULARY, Manifest, Split
from hln_tf.errors import HlnError, UsageError
from hln_tf.files import directory_written_whole, read_json, sha256


def prepare(
    inputs: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    settings: Settings,
    work: Work | None = None,
    beam_flags: Sequence[str] = (),
    overwrite: bool = False,
) -> Manifest:
    """Writes a data set directory; see `hln_tf.data.layout` for what it holds.

    The data set depends on the content of the inputs and on `settings` alone.
    A directory that already holds it is left as it is.

    Args:
      inputs: Raw logs, plain or gzip, read in order of name.
      output: The directory to write. Until it is finished the data stands in a
        temporary directory beside it, which the workers must be able to reach.
      settings: What to write.
      work: How to cut the work up.
      beam_flags: Options for Beam. Without `--runner` the pipeline runs in
        this process.
      overwrite: Whether to replace another data set that stands in `output`.

    Returns:
      The manifest of the data set.

    Raises:
      HlnError: The input or the output cannot be used.
    """
    work = work or Work()
    output = Path(output)
    if beam_flags:
        check_beam_flags(beam_flags)
    files = find_files(inputs)
    _check_output(output)
    described = [file.description() for file in files]
    if (output / MANIFEST).exists():
        manifest = Manifest.read(output)
        if _is_same(manifest, settings, described):
            print(f"{output} already holds this data set: nothing to do", file=sys.stderr)
            return manifest
        if not overwrite:
            raise HlnError(
                f"{output} holds a data set of other settings or other input: "
                "choose another --output, or pass --overwrite to replace it"
            )
    from beam_preprocess.scan import check_beginning

    for file in files:
        check_beginning(file, DATASETS[settings.dataset].rows)
    replaced = output.with_name(f".{output.name}.replaced")
    with directory_written_whole(output) as temporary:
        _run(files, settings, work, temporary, beam_flags)
        manifest = _manifest(temporary, settings, described)
        manifest.write(temporary)
        if (output / MANIFEST).exists():
            shutil.rmtree(replaced, ignore_errors=True)
            os.rename(output, replaced)
    shutil.rmtree(replaced, ignore_errors=True)
    return manifest


def _check_output(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise HlnError(f"{output} is not a directory: choose another --output")
    if output.is_dir() and any(output.iterdir()) and not (output / MANIFEST).exists():
        raise HlnError(
            f"{output} holds other files and no finished data set: choose another --output"
        )


def _is_same(manifest: Manifest, settings: Settings, described: list[dict[str, str | int]]) -> bool:
    """Whether settings and content are the same; the files' names do not matter."""
    contents = [
        [(file["bytes"], file["sha256"]) for file in inputs]
        for inputs in (manifest.inputs, described)
    ]
    return manifest.settings == dataclasses.asdict(settings) and contents[0] == contents[1]


def check_beam_flags(flags: Sequence[str]) -> None:
    """Checks flags that are not ours against Beam's own, which Beam itself does not do.

    Raises:
      UsageError: A flag or its value is unknown to Beam.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    with contextlib.suppress(ImportError):  # its flags are known once it is loaded
        importlib.import_module("apache_beam.runners.dask.dask_runner")
    parser: Any = Parser(
        prog="python -m beam_preprocess", add_help=False, conflict_handler="resolve"
    )
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    unknown = parser.parse_known_args(list(flags))[1]
    if unknown:
        raise UsageError(
            f"{unknown[0]!r} is neither a flag of preprocessing nor one of Beam "
            f"(see {parser.prog} --help)"
        )


def chosen_runner(work: Work, beam_flags: Sequence[str] = ()) -> tuple[Any, Any]:
    """The runner that `beam_flags` name, the in-process one without, and Beam's options.

    Raises:
      UsageError: Beam has no such runner.
    """
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner, worker_handlers
    from apache_beam.runners.runner import create_runner

    # By default Beam's local workers flush what they send once a second from another thread, with
    # no lock against the one that writes it, and elements are lost now and then.
    worker_handlers.DATA_BUFFER_TIME_LIMIT_MS = 0
    workers = work.workers or len(os.sched_getaffinity(0))
    mode = "multi_threading" if workers > 1 else "in_memory"
    options = PipelineOptions(
        [f"--direct_num_workers={workers}", f"--direct_running_mode={mode}", *beam_flags]
    )
    name = options.view_as(StandardOptions).runner
    if not name:
        # Named, since Beam's DirectRunner may hand over to a program that it downloads.
        return FnApiRunner(), options
    try:
        return create_runner(name), options
    except (ValueError, ImportError, AttributeError) as error:
        raise UsageError(f"--runner {name!r} is not a runner that Beam has: {error}") from None


def _run(
    files: Sequence[RawFile],
    settings: Settings,
    work: Work,
    directory: Path,
    beam_flags: Sequence[str],
) -> None:
    import apache_beam as beam

    from beam_preprocess.failures import unmarked
    from beam_preprocess.pipeline import build
    from beam_preprocess.spill import Spill

    runner, options = chosen_runner(work, beam_flags)
    spilled = directory / ".spilled"
    spilled.mkdir()
    # A runner on many machines has a shuffle of its own and may run a step twice.
    named = any(flag.partition("=")[0] == "--runner" for flag in beam_flags)
    spill = Spill(None if named else str(spilled))
    # Beam's workers print the traceback of an error that this process reports in full.
    printed = io.StringIO()
    try:
        with (
            progress.shown(sum(file.bytes for file in files)),
            contextlib.redirect_stderr(printed),
            beam.Pipeline(runner=runner, options=options) as pipeline,
        ):
            build(pipeline, files, settings, work, str(directory), spill)
    except Exception as error:
        failure = unmarked(error)
        if failure:
            raise failure from None
        raise
    spilled.rmdir()  # empty: each step takes what the one before put there


def _manifest(
    directory: Path, settings: Settings, described: list[dict[str, str | int]]
) -> Manifest:
    stats = read_json(directory / STATS, "the workers must be able to write to --output")
    splits = {
        name: Split(
            tuple(stats["files"][name]),
            *(stats[name][count] for count in ("sessions", "clicks", "prefixes")),
        )
        for name in SPLITS
    }
    return Manifest(
        dataset=settings.dataset,
        separator=settings.separator,
        items=stats["items"],
        vocabulary_sha256=sha256(directory / VOCABULARY),
        splits=splits,
        settings=dataclasses.asdict(settings),
        inputs=described,
    )
