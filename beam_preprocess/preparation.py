"""Preparation of a data set directory from raw files.

Nothing here imports Beam until there is work to do.
"""

import contextlib
import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from beam_preprocess.inputs import expand_inputs
from beam_preprocess.settings import Settings, Work
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.files import Location, as_location, atomic_directory, join
from hln_tf.common.settings import rename_aliases, without_added
from hln_tf.data.layout import (
    MANIFEST,
    SPLITS,
    STATS,
    VOCABULARY,
    Manifest,
    Split,
    is_of_data_set,
)

if TYPE_CHECKING:
    from beam_preprocess.read import RawFile


def prepare(
    inputs: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    settings: Settings,
    work: Work | None = None,
    beam_flags: Sequence[str] = (),
    overwrite: bool = False,
    part_inputs: Mapping[str, Sequence[str | os.PathLike[str]]] | None = None,
) -> Manifest:
    """Write a data set directory; see `hln_tf.data.layout` for what it holds.

    The data set depends on the content of the inputs and on `settings` alone.
    A directory that already holds it is not changed.

    Args:
      inputs: Raw logs, text of which may be gzip, read in order of name: paths of
        files and directories and patterns such as `clicks/*.csv`, or URLs of file
        systems that Beam knows.
      output: The directory to write, or its URL. Until it is finished the data is
        in a temporary directory next to it, which the workers must be able to reach.
      settings: What to write.
      work: How to cut the work up.
      beam_flags: Options for Beam. Without `--runner` the pipeline runs in
        this process.
      overwrite: Whether to replace another data set in `output`.
      part_inputs: Raw logs of the parts `test` and `validation`, where the settings'
        `part_files` names them.

    Returns:
      The manifest of the data set.

    Raises:
      HlnError: The input or the output cannot be used.
    """
    targets = {as_location(output): settings}
    return prepare_all(inputs, targets, work, beam_flags, overwrite, part_inputs)[0]


def outputs(
    output: str | os.PathLike[str], settings: Sequence[Settings]
) -> dict[Location, Settings]:
    """Choose a directory for each of settings that differ in `train_fraction` or `test_from`.

    One is `output` itself; of several, that of 1/64 is `output`/1-64.

    Raises:
      HlnError: `output` is a data set, which cannot contain others.
    """
    whole = as_location(output)
    if len(settings) == 1:
        return {whole: settings[0]}
    if isinstance(whole, Path) and (whole / MANIFEST).exists():
        raise HlnError(
            f"{output} holds a data set, and several need "
            "directories of their own below it: choose another `output`"
        )
    differ = len({one.test_from for one in settings}) > 1
    names = [one.test_from if differ else one.train_fraction.replace("/", "-") for one in settings]
    return {join(whole, name): one for name, one in zip(names, settings, strict=True)}


def prepare_all(
    inputs: Sequence[str | os.PathLike[str]],
    targets: Mapping[Location, Settings],
    work: Work | None = None,
    beam_flags: Sequence[str] = (),
    overwrite: bool = False,
    part_inputs: Mapping[str, Sequence[str | os.PathLike[str]]] | None = None,
) -> list[Manifest]:
    """Write data sets of several fractions of train or cut dates, from one reading of the log.

    See `prepare`.

    Args:
      inputs: Raw logs.
      targets: The directories to write and their settings, which differ in
        `train_fraction` or in `test_from` alone.
      work: How to cut the work up.
      beam_flags: Options for Beam.
      overwrite: Whether to replace other data sets.
      part_inputs: Raw logs of the parts `test` and `validation`, where the settings'
        `part_files` names them.
    """
    inputs_of = {"train": expand_inputs(inputs)}
    for part in SPLITS[1:]:
        inputs_of[part] = expand_inputs((part_inputs or {}).get(part, ()))
    from beam_preprocess import storage
    from beam_preprocess.runners import check_beam_flags

    if beam_flags:
        check_beam_flags(beam_flags)
    storage.set_options(beam_flags)
    for output in targets:
        _check_output(output, overwrite)
    files = _find_files(inputs_of)
    descriptions = [
        {**file.description(), **({"part": SPLITS[file.part]} if file.part else {})}
        for file in files
    ]
    missing = {
        output: settings
        for output, settings in targets.items()
        if not _is_finished(output, settings, descriptions, overwrite)
    }
    if missing:
        from beam_preprocess.format_detection import open_logs
        from beam_preprocess.runners import run

        log = next(iter(missing.values())).log_format
        opened = open_logs(files, log)
        with contextlib.ExitStack() as stack:
            directories = {
                settings: stack.enter_context(_written(output))
                for output, settings in missing.items()
            }
            run(opened, work or Work(), directories, beam_flags)
            for settings, directory in directories.items():
                _finish(directory, settings, descriptions)
    return [_read_manifest(output) for output in targets]


def _find_files(inputs_of: Mapping[str, Sequence[str]]) -> list["RawFile"]:
    """Check the raw files of each part, in order of the parts and of name."""
    from beam_preprocess.read import find_files

    found: list[RawFile] = []
    for part, paths in inputs_of.items():
        for file in find_files(paths):
            if any(file.location == other.location for other in found):
                raise UsageError(f"{file.path} is given twice, as a file of two parts")
            index = len(found)
            found.append(dataclasses.replace(file, index=index, part=SPLITS.index(part)))
    return found


def _check_output(output: Location, overwrite: bool) -> None:
    """Check that a directory can be written: it is missing, empty, or a data set."""
    if isinstance(output, Path):
        if output.exists() and not output.is_dir():
            raise HlnError(f"{output} is not a directory: choose another `output`")
        found = _names(output)
    else:
        from beam_preprocess import storage

        storage.check_scheme(output)
        storage.check_writable(output)
        listed = [path for path in storage.list_files(output) if not path.endswith("/")]
        found = [path.removeprefix(f"{output}/") for path in listed]
    if not found or MANIFEST in found:
        return
    if not all(map(is_of_data_set, found)):
        raise HlnError(
            f"{output} holds other files and no finished data set: choose another `output`"
        )
    if not overwrite:
        raise HlnError(
            f"{output} holds an unfinished data set, without {MANIFEST}, which is written last: "
            "pass `overwrite` to replace it, or choose another `output`"
        )


def _names(directory: Path) -> list[str]:
    """List what is in a directory and those below it, but directories that are not empty."""
    return [
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
    ]


def _has_manifest(output: Location) -> bool:
    from beam_preprocess import storage

    return storage.exists(f"{output}/{MANIFEST}")


def _read_manifest(output: Location) -> Manifest:
    if isinstance(output, Path):
        return Manifest.read(output)
    from beam_preprocess import storage

    with tempfile.TemporaryDirectory() as directory:
        with storage.open_file(f"{output}/{MANIFEST}") as file:
            (Path(directory) / MANIFEST).write_bytes(file.read())
        return Manifest.read(directory)


def _is_finished(
    output: Location, settings: Settings, descriptions: list[dict[str, str | int]], overwrite: bool
) -> bool:
    if not _has_manifest(output):
        return False
    if _is_same(output, settings, descriptions):
        print(f"{output} already holds this data set: nothing to do", file=sys.stderr)
        return True
    if not overwrite:
        raise HlnError(
            f"{output} holds a data set of other settings or other input: "
            "choose another `output`, or pass `overwrite` to replace it"
        )
    return False


def _is_same(
    output: Location, settings: Settings, descriptions: list[dict[str, str | int]]
) -> bool:
    """Compare settings and content with those of a data set; the files' names do not matter."""
    manifest = _read_manifest(output)
    renamed = rename_aliases(Settings, manifest.settings, f"{output}/{MANIFEST}")
    recorded = without_added(Settings, renamed)
    contents = [
        [(file.get("part"), file["bytes"], file["sha256"]) for file in inputs]
        for inputs in (manifest.inputs, descriptions)
    ]
    wanted = without_added(Settings, settings.description())
    return recorded == wanted and contents[0] == contents[1]


@contextlib.contextmanager
def _written(output: Location) -> Iterator[str]:
    """Yield a temporary directory that becomes `output` when the block succeeds."""
    if not isinstance(output, Path):
        with _written_remotely(output) as staged:
            yield staged
        return
    replaced = output.with_name(f".{output.name}.replaced")
    with atomic_directory(output) as temporary:
        yield os.path.abspath(temporary)
        found = _names(output)
        if found and (MANIFEST in found or all(map(is_of_data_set, found))):
            shutil.rmtree(replaced, ignore_errors=True)
            os.rename(output, replaced)
    shutil.rmtree(replaced, ignore_errors=True)


@contextlib.contextmanager
def _written_remotely(output: str) -> Iterator[str]:
    """Yield the URL of a temporary directory whose files move to `output`, the manifest last."""
    from beam_preprocess import storage

    staged = storage.temporary_directory(output)
    try:
        yield staged
        storage.replace_directory(staged, output, MANIFEST)
    except storage.StoreError as error:
        try:
            storage.check_writable(output)
        except storage.StoreError:
            raise HlnError(f"{error}; the unfinished files below {staged} are to remove") from None
        storage.delete(storage.list_files(staged))
        raise
    except BaseException:
        storage.delete(storage.list_files(staged))
        raise


def _finish(directory: str, settings: Settings, descriptions: list[dict[str, str | int]]) -> None:
    """Write the manifest of a directory that the pipeline has filled, or raise why it has not."""
    from beam_preprocess import storage
    from beam_preprocess.stats import PROBLEM

    problem = f"{directory}/{PROBLEM}"
    if storage.exists(problem):
        raise HlnError(storage.read_json(problem, "write the data set again")["problem"])
    stats = storage.read_json(
        f"{directory}/{STATS}", "the workers must be able to write to `output`"
    )
    splits = {
        name: Split(
            tuple(stats["files"][name]),
            *(stats[name][count] for count in ("sessions", "clicks", "prefixes")),
        )
        for name in SPLITS
    }
    manifest = Manifest(
        dataset=settings.dataset,
        separator=settings.separator,
        items=stats["items"],
        vocabulary_sha256=storage.sha256(f"{directory}/{VOCABULARY}"),
        splits=splits,
        settings=settings.description(),
        inputs=descriptions,
    )
    storage.delete_unfinished(directory)
    if storage.is_local(directory):
        manifest.write(Path(directory))
    else:
        storage.write_json(f"{directory}/{MANIFEST}", directory, manifest.content())
