"""The command `python -m beam_preprocess.download`: a public raw log, checked and unpacked."""

import dataclasses
import hashlib
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beam_preprocess.download.catalogue import Mirror, PublicLog, megabytes, read_catalogue
from hln_tf.common.cli import Parser, add_settings, require_extra, run, settings_from
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.files import process_lock, read_json, write_json
from hln_tf.common.progress import progress_bar
from hln_tf.common.settings import checked, setting
from hln_tf.data.sources import SOURCES

_DESCRIPTION = """\
Downloads a public raw log to the place where training looks for it.

  python -m beam_preprocess.download retailrocket
  python -m hln_tf.train --dataset retailrocket

Licence and sizes are shown first. The mirrors are tried in turn, and the same command
goes on where a download broke off. The log is compared with what is published of it;
its size and SHA-256 are recorded next to it.
"""
_CHUNK = 1 << 20


@dataclasses.dataclass(frozen=True)
class DownloadSettings:
    """The settings of a download."""

    raw_dir: str = setting("data/raw", "directory to write the raw log into")
    accept_license: bool = setting(False, "accept the licence that is shown, without a question")
    url: str = setting("", "download from here, not from the mirrors: the raw log or an archive")

    def __post_init__(self) -> None:
        checked(self)
        if self.url and not self.url.startswith(("http://", "https://")):
            raise UsageError(f"`url` is {self.url!r}, expected one that begins with https://")


@dataclasses.dataclass(frozen=True)
class Content:
    """Size and checksums of a raw log.

    Attributes:
      bytes: Its size.
      lines: Its lines.
      sha256: Its checksum.
      published: Its checksum by the algorithm of the published one, or "".
    """

    bytes: int
    lines: int
    sha256: str
    published: str


def main(arguments: Sequence[str]) -> None:
    """Parse the arguments, ask for the licence's acceptance and download."""
    catalogue = read_catalogue()
    parser = Parser(prog="python -m beam_preprocess.download", description=_DESCRIPTION)
    parser.add_argument("log", choices=tuple(catalogue), help="the public log")
    add_settings(parser, DownloadSettings, "the download")
    parsed = parser.parse_args(arguments)
    settings = settings_from(DownloadSettings, parsed)
    log = catalogue[parsed.log]
    if settings.url:
        mirror = Mirror(settings.url, "--url", tried=False)
        log = dataclasses.replace(log, mirrors=(mirror,))
    target = Path(settings.raw_dir) / log.file
    present = [path for path in (target, Path(f"{target}.gz")) if path.exists()]
    if present:
        print(f"{present[0]} is there already: nothing to do", file=sys.stderr)
        return
    require_extra("download", ["py7zr", "requests"])
    print(log.notice(), file=sys.stderr)
    if not settings.accept_license:
        ask_acceptance()
    download(log, target)
    print(f"to train on it: {_training(log, settings)}", file=sys.stderr)


def ask_acceptance() -> None:
    """Ask on a terminal whether the licence is accepted.

    Raises:
      UsageError: There is no terminal.
      HlnError: It is not accepted.
    """
    if not sys.stdin.isatty():
        raise UsageError("`accept_license` is missing: read the licence above, then pass it")
    print("Do you accept the licence? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise HlnError("the licence is not accepted: nothing was downloaded")


def download(log: PublicLog, target: Path) -> None:
    """Download a public log from the first mirror that gives it.

    Args:
      log: The public log.
      target: The file to write.

    Raises:
      HlnError: No mirror gives the log, or there is too little space.
    """
    from beam_preprocess.download.transfer import MirrorError

    work = target.parent / f".download-{log.name}"
    failures = []
    again = f"another process downloads {log.name} here: wait for it"
    with process_lock(work / "lock", str(target), again):
        for mirror in log.mirrors:
            try:
                content = _from_mirror(log, mirror, work, target)
                break
            except MirrorError as error:
                failures.append(str(error))
                print(f"note: {error}", file=sys.stderr)
            except (KeyboardInterrupt, SystemExit):
                print("to go on with this download, run the same command again", file=sys.stderr)
                raise
        else:
            raise HlnError(
                f"no mirror gives {log.file} ({'; '.join(failures)}): run the same command again "
                f"later, give another `url`, or put the file into {target.parent} yourself, "
                f"from {log.page}"
            )
        shutil.rmtree(work)
    print(f"wrote {target}: {content.lines:,} lines, {megabytes(content.bytes)}")
    print(f"SHA-256 {content.sha256}, recorded in {_record(target)}")


def _from_mirror(log: PublicLog, mirror: Mirror, work: Path, target: Path) -> Content:
    from beam_preprocess.download.archives import unpack
    from beam_preprocess.download.transfer import MirrorError, fetch

    partial = fetch(mirror.url, work)
    try:
        unpacked = unpack(partial, log.file, work / "unpacked")
        content = examine(unpacked, log)
        check(log, content, _record(target))
    except MirrorError as error:
        partial.unlink()  # it is complete, and of no use
        raise MirrorError(f"of the download from {mirror.url}, {error}") from None
    os.replace(unpacked, target)
    facts = {"url": mirror.url, "bytes": content.bytes, "lines": content.lines}
    write_json(_record(target), {**facts, "sha256": content.sha256})
    return content


def examine(path: Path, log: PublicLog) -> Content:
    """Count the lines of a raw log and compute its checksums, in one reading."""
    algorithm = log.checksum.partition(":")[0] or "sha256"
    own, published = hashlib.sha256(), hashlib.new(algorithm, usedforsecurity=False)
    size = path.stat().st_size
    lines, last = 0, b"\n"
    with open(path, "rb") as file, progress_bar(f"checking {log.file}", "bytes", size) as bar:
        while chunk := file.read(_CHUNK):
            own.update(chunk)
            published.update(chunk)
            lines += chunk.count(b"\n")
            last = chunk[-1:]
            bar.update(len(chunk))
    return Content(size, lines + (last != b"\n"), own.hexdigest(), published.hexdigest())


def check(log: PublicLog, content: Content, record: Path) -> None:
    """Compare a raw log with its published checksum, or else its published number of lines.

    Where no checksum is published it must also be that of the first download.

    Raises:
      MirrorError: They differ.
    """
    from beam_preprocess.download.transfer import MirrorError

    algorithm, _, digits = log.checksum.partition(":")
    if digits:
        if content.published != digits:
            raise MirrorError(
                f"{log.file} has the {algorithm.upper()} {content.published}, but "
                f"{log.checksum_source} states {digits}: it is not the published file"
            )
        return
    if log.lines and content.lines != log.lines:
        raise MirrorError(
            f"{log.file} has {content.lines:,} lines, but {log.lines_source} states "
            f"{log.lines:,}: it is not the published file"
        )
    first: dict[str, Any] = read_json(record, "remove it") if record.exists() else {}
    if first.get("sha256", content.sha256) != content.sha256:
        raise MirrorError(
            f"{log.file} has the SHA-256 {content.sha256}, but the first download had "
            f"{first['sha256']}: remove {record} to accept another file"
        )


def _record(target: Path) -> Path:
    return target.with_name(f"{target.name}.download.json")


def _training(log: PublicLog, settings: DownloadSettings) -> str:
    dataset = next(name for name, source in SOURCES.items() if source.download == log.name)
    command = ["python", "-m", "hln_tf.train", "--dataset", dataset]
    if settings.raw_dir != DownloadSettings().raw_dir:
        command += ["--raw_dir", settings.raw_dir]
    return shlex.join(command)


if __name__ == "__main__":
    sys.exit(run(main))
