"""Transfer of a file by HTTP that goes on where an earlier one broke off."""

import hashlib
import shutil
import time
from pathlib import Path

import requests

from beam_preprocess.download.catalogue import megabytes
from hln_tf.common.errors import HlnError
from hln_tf.common.progress import progress_bar

_CHUNK = 1 << 16
_ATTEMPTS = 3  # in a row that transfer nothing
_PAUSE = 1.0  # seconds before the second attempt
_TIMEOUT = (10, 60)  # seconds to connect, and between two packets
# By the names of classes of `requests.exceptions`.
_REASONS = {
    "SSLError": "has no certificate that this machine trusts",
    "Timeout": "does not answer in time",
    "ChunkedEncodingError": "broke off the transfer",
    "TooManyRedirects": "redirects without end",
    "ConnectionError": "cannot be reached, or broke off the transfer",
}


class MirrorError(HlnError):
    """A mirror does not give the file; another one may."""


def fetch(url: str, directory: Path) -> Path:
    """Download a file, after up to three attempts in a row that transfer nothing.

    What is there of an earlier download of the same file is not transferred again,
    where the server can send the rest.

    Args:
      url: The file.
      directory: The partial file is in it, with a name by URL and version of the file.

    Returns:
      The complete file, in `directory`.

    Raises:
      MirrorError: The server does not give the file.
      HlnError: There is too little space.
    """
    failures, transferred = 0, 0
    while True:
        try:
            with requests.Session() as session:
                session.headers["Accept-Encoding"] = "identity"  # the file, not its text
                return _transfer(session, url, directory)
        except requests.RequestException as error:
            now = sum(path.stat().st_size for path in directory.glob("*.part"))
            failures = 1 if now > transferred else failures + 1
            transferred = max(now, transferred)
            if failures == _ATTEMPTS:
                raise MirrorError(f"{url} {_reason(error)}") from None
            time.sleep(_PAUSE * 2 ** (failures - 1))


def check_space(directory: Path, needed: int) -> None:
    """Check that a directory's disk has space.

    Raises:
      HlnError: It has not.
    """
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise HlnError(
            f"{directory} needs {megabytes(needed)} more and has {megabytes(free)} free: "
            "free some space and run the same command again, or name another `raw_dir`"
        )


def _transfer(session: requests.Session, url: str, directory: Path) -> Path:
    response = _get(session, url)
    length = response.headers.get("Content-Length", "")
    # Of a file that a server encodes all the same, it is that of the encoded one.
    is_known = length.isdecimal() and "Content-Encoding" not in response.headers
    total = int(length) if is_known else 0
    version = response.headers.get("ETag") or response.headers.get("Last-Modified", "")
    key = hashlib.sha256(f"{url} {version} {total}".encode()).hexdigest()[:16]
    partial = directory / f"{key}.part"
    present = partial.stat().st_size if total and partial.exists() else 0
    if present and present == total:
        response.close()
        return partial
    if present:
        response.close()
        headers = {"Range": f"bytes={present}-"}
        if version and not version.startswith("W/"):
            headers["If-Range"] = version
        response = _get(session, url, headers)
        if response.status_code != requests.codes.partial_content:
            present = 0
    check_space(directory, total - present)
    label = f"downloading {url.rpartition('/')[2]}"
    try:
        with (
            response,
            open(partial, "ab" if present else "wb") as file,
            progress_bar(label, "bytes", total or None, present) as bar,
        ):
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    except requests.RequestException:  # which are OSErrors
        raise
    except OSError as error:
        error.filename = error.filename or str(partial)  # a failed write has none
        raise
    if total and partial.stat().st_size != total:
        raise requests.ConnectionError("the transfer is incomplete")
    return partial


def _get(
    session: requests.Session, url: str, headers: dict[str, str] | None = None
) -> requests.Response:
    response = session.get(url, headers=headers, stream=True, timeout=_TIMEOUT)
    if response.status_code >= requests.codes.bad_request:
        response.close()
        raise MirrorError(f"{url} answers {response.status_code} ({response.reason})")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        response.close()
        raise MirrorError(f"{url} answers with a web page instead of the file")
    return response


def _reason(error: requests.RequestException) -> str:
    names = [kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _REASONS]
    return _REASONS[names[0]] if names else f"cannot be used ({type(error).__name__})"
