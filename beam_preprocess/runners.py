"""The runner that carries the pipeline, and its run."""

import contextlib
import errno
import importlib
import logging
import os
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import MetricResults
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineResult, create_runner

from beam_preprocess import storage
from beam_preprocess.batches import batches_in_files
from beam_preprocess.pipeline import build
from beam_preprocess.progress import NAMESPACE, Progress
from beam_preprocess.read import RawLog
from beam_preprocess.settings import Settings, Work
from hln_tf.common.cli import Parser
from hln_tf.common.errors import HlnError, UsageError

_LOGGER = logging.getLogger(__name__)
# Beam deals out the bundles of all pipelines of a process in turn, so that two pipelines at a time
# could give two bundles to one worker, which takes one.
_ONE_AT_A_TIME = threading.Lock()
_LONGEST = 300  # characters of an engine's error in a sentence


def check_beam_flags(flags: Sequence[str]) -> None:
    """Check flags that are not ours against Beam's own, which Beam itself does not do.

    Raises:
      UsageError: A flag or its value is unknown to Beam.
    """
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
    workers = work.workers or len(os.sched_getaffinity(0))
    # Workers that are threads and hand over elements in memory: Beam's mode "multi_threading"
    # would send them by gRPC to itself.
    options = PipelineOptions(
        [f"--direct_num_workers={workers}", "--direct_running_mode=in_memory", *beam_flags]
    )
    name = options.view_as(StandardOptions).runner
    if not name:
        # Not Beam's DirectRunner, which may delegate to a program that it downloads.
        return FnApiRunner(), options
    try:
        return create_runner(name), options
    except (ValueError, ImportError, AttributeError) as error:
        raise UsageError(f"--runner {name!r} is not a runner that Beam has: {error}") from None


def run(
    log: RawLog,
    work: Work,
    directories: Mapping[Settings, str],
    beam_flags: Sequence[str],
) -> None:
    """Run the pipeline; see `beam_preprocess.pipeline.build`.

    Raises:
      UsageError: Beam has no such runner.
      HlnError: An engine failed.
    """
    runner, options = chosen_runner(work, beam_flags)
    name = options.view_as(StandardOptions).runner
    progress = Progress()
    try:
        with (
            contextlib.nullcontext() if name else _ONE_AT_A_TIME,
            _files_of(None if name else next(iter(directories.values()))) as batches,
            batches_in_files(batches),
            progress.shown(sum(file.bytes for file in log.files)),
            beam.Pipeline(runner=runner, options=options) as pipeline,
        ):
            build(pipeline, log, work, directories, progress)
        _log_counters(pipeline.result)
    except Exception as error:
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            if os.strerror(number) in str(error):
                raise HlnError(
                    f"the data set cannot be written ({os.strerror(number)}): "
                    "free some space and run the same command again"
                ) from None
        if isinstance(error, HlnError):  # a worker's, to which Beam adds the step
            error.args = (str(error).partition(" [while running ")[0],)
            raise
        if not name:
            raise
        raise HlnError(
            f"{name} could not run the pipeline ({_shorten(error)}): see its log "
            "(--verbose shows Beam's), and run the same command again"
        ) from error


@contextlib.contextmanager
def _files_of(directory: str | None) -> Iterator[str | None]:
    """Yield a temporary directory: in a local data set directory, or the system's for a remote."""
    if directory is None:
        yield None
        return
    parent = directory if storage.is_local(directory) else None
    with tempfile.TemporaryDirectory(prefix=".batches-", dir=parent) as temporary:
        yield temporary


def _log_counters(result: PipelineResult) -> None:
    """Log the counters of a pipeline, such as malformed rows and the clicks after each filter."""
    try:
        counters = result.metrics().query()[MetricResults.COUNTERS]
    except Exception:  # any, since the data set is written
        _LOGGER.warning("the runner does not report its counters", exc_info=True)
        return
    for counter in counters:
        if counter.key.metric.namespace == NAMESPACE:
            _LOGGER.info("%s: %s", counter.key.metric.name, f"{counter.result or 0:,}")


def _shorten(error: Exception) -> str:
    """Return an engine's error on one line, the last lines of a traceback where it has one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    text = (named or lines or [type(error).__name__])[-1]
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
