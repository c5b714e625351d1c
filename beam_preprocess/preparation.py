"""Preparation of a data set directory from raw files."""

import contextlib
import importlib
import io
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from beam_preprocess import progress
from beam_preprocess.read import LogFile, find_files
from beam_preprocess.settings import Settings, Work
from hln_tf.common.cli import Parser
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.files import atomic_directory, read_json, sha256
from hln_tf.common.settings import rename_aliases
from hln_tf.data.layout import MANIFEST, SPLITS, STATS, VOCABULARY, Manifest, Split


def prepare(
    inputs: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    settings: Settings,
    work: Work | None = None,
    beam_flags: Sequence[str] = (),
    overwrite: bool = False,
) -> Manifest:
    """Write a data set directory; see `hln_tf.data.layout` for what it holds.

    The data set depends on the content of the inputs and on `settings` alone.
    A directory that already holds it is not changed.

    Args:
      inputs: Raw logs, text of which may be gzip, read in order of name.
      output: The directory to write. Until it is finished the data is in a
        temporary directory next to it, which the workers must be able to reach.
      settings: What to write.
      work: How to cut the work up.
      beam_flags: Options for Beam. Without `--runner` the pipeline runs in
        this process.
      overwrite: Whether to replace another data set in `output`.

    Returns:
      The manifest of the data set.

    Raises:
      HlnError: The input or the output cannot be used.
    """
    return prepare_all(inputs, {Path(output): settings}, work, beam_flags, overwrite)[0]


def outputs(output: str | os.PathLike[str], settings: Sequence[Settings]) -> dict[Path, Settings]:
    """Choose a directory for each of settings that differ in `train_fraction` alone.

    One is `output` itself; of several, that of 1/64 is `output`/1-64.

    Raises:
      HlnError: `output` is a data set, which cannot contain others.
    """
    output = Path(output)
    if len(settings) == 1:
        return {output: settings[0]}
    if (output / MANIFEST).exists():
        raise HlnError(
            f"{output} holds a data set, and those of several fractions need "
            "directories of their own below it: choose another --output"
        )
    return {output / one.train_fraction.replace("/", "-"): one for one in settings}


def prepare_all(
    inputs: Sequence[str | os.PathLike[str]],
    targets: Mapping[Path, Settings],
    work: Work | None = None,
    beam_flags: Sequence[str] = (),
    overwrite: bool = False,
) -> list[Manifest]:
    """Write data sets of several fractions of train, from one reading of the log.

    See `prepare`.

    Args:
      inputs: Raw logs.
      targets: The directories to write and their settings, which differ in
        `train_fraction` alone.
      work: How to cut the work up.
      beam_flags: Options for Beam.
      overwrite: Whether to replace other data sets.
    """
    work = work or Work()
    if beam_flags:
        check_beam_flags(beam_flags)
    files = find_files(inputs)
    for output in targets:
        _check_output(output)
    descriptions = [file.description() for file in files]
    missing = {
        output: settings
        for output, settings in targets.items()
        if not _is_finished(output, settings, descriptions, overwrite)
    }
    if missing:
        from beam_preprocess.format_detection import open_log

        log = next(iter(missing.values())).log_format
        _write([open_log(file, log) for file in files], missing, work, beam_flags, descriptions)
    return [Manifest.read(output) for output in targets]


def _is_finished(
    output: Path, settings: Settings, descriptions: list[dict[str, str | int]], overwrite: bool
) -> bool:
    if not (output / MANIFEST).exists():
        return False
    if _is_same(output, settings, descriptions):
        print(f"{output} already holds this data set: nothing to do", file=sys.stderr)
        return True
    if not overwrite:
        raise HlnError(
            f"{output} holds a data set of other settings or other input: "
            "choose another --output, or pass --overwrite to replace it"
        )
    return False


def _write(
    files: Sequence[LogFile],
    targets: Mapping[Path, Settings],
    work: Work,
    beam_flags: Sequence[str],
    descriptions: list[dict[str, str | int]],
) -> None:
    replaced = [output.with_name(f".{output.name}.replaced") for output in targets]
    with contextlib.ExitStack() as stack:
        temporary = {output: stack.enter_context(atomic_directory(output)) for output in targets}
        directories = {
            settings.train_fraction: str(temporary[output]) for output, settings in targets.items()
        }
        _run(files, next(iter(targets.values())), work, directories, beam_flags)
        for (output, settings), old in zip(targets.items(), replaced, strict=True):
            _manifest(temporary[output], settings, descriptions).write(temporary[output])
            if (output / MANIFEST).exists():
                shutil.rmtree(old, ignore_errors=True)
                os.rename(output, old)
    for old in replaced:
        shutil.rmtree(old, ignore_errors=True)


def _check_output(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise HlnError(f"{output} is not a directory: choose another --output")
    if output.is_dir() and any(output.iterdir()) and not (output / MANIFEST).exists():
        raise HlnError(
            f"{output} holds other files and no finished data set: choose another --output"
        )


def _is_same(output: Path, settings: Settings, descriptions: list[dict[str, str | int]]) -> bool:
    """Compare settings and content with those of a data set; the files' names do not matter."""
    manifest = Manifest.read(output)
    recorded = rename_aliases(Settings, manifest.settings, str(output / MANIFEST))
    contents = [
        [(file["bytes"], file["sha256"]) for file in inputs]
        for inputs in (manifest.inputs, descriptions)
    ]
    return recorded == settings.description() and contents[0] == contents[1]


def check_beam_flags(flags: Sequence[str]) -> None:
    """Check flags that are not ours against Beam's own, which Beam itself does not do.

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
    """Create the runner that `beam_flags` name, by default the in-process one, and Beam's options.

    Raises:
      UsageError: Beam has no such runner.
    """
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner, worker_handlers
    from apache_beam.runners.runner import create_runner

    # By default Beam's local workers flush what they send once a second from another thread,
    # without a lock against the one that writes it, and elements are lost now and then.
    worker_handlers.DATA_BUFFER_TIME_LIMIT_MS = 0
    workers = work.workers or len(os.sched_getaffinity(0))
    mode = "multi_threading" if workers > 1 else "in_memory"
    options = PipelineOptions(
        [f"--direct_num_workers={workers}", f"--direct_running_mode={mode}", *beam_flags]
    )
    name = options.view_as(StandardOptions).runner
    if not name:
        # Not Beam's DirectRunner, which may delegate to a program that it downloads.
        return FnApiRunner(), options
    try:
        return create_runner(name), options
    except (ValueError, ImportError, AttributeError) as error:
        raise UsageError(f"--runner {name!r} is not a runner that Beam has: {error}") from None


def _run(
    files: Sequence[LogFile],
    settings: Settings,
    work: Work,
    directories: Mapping[str, str],
    beam_flags: Sequence[str],
) -> None:
    import apache_beam as beam

    from beam_preprocess.failures import decode_error
    from beam_preprocess.pipeline import build
    from beam_preprocess.spill import Spill

    runner, options = chosen_runner(work, beam_flags)
    spilled = Path(next(iter(directories.values()))) / ".spilled"
    spilled.mkdir()
    # A runner on many machines has a shuffle of its own and may run a step twice.
    is_named = any(flag.partition("=")[0] == "--runner" for flag in beam_flags)
    spill = Spill(None if is_named else str(spilled))
    # Beam's workers print the traceback of an error that this process reports in full.
    discarded = io.StringIO()
    try:
        with (
            progress.shown(sum(file.bytes for file in files)),
            contextlib.redirect_stderr(discarded),
            beam.Pipeline(runner=runner, options=options) as pipeline,
        ):
            build(pipeline, files, settings, work, directories, spill)
    except Exception as error:
        failure = decode_error(error)
        if failure:
            raise failure from None
        raise
    shutil.rmtree(spilled)


def _manifest(
    directory: Path, settings: Settings, descriptions: list[dict[str, str | int]]
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
        settings=settings.description(),
        inputs=descriptions,
    )
