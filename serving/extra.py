"""The packages that only serving needs: the extra `serving` of hln-tf."""

import contextlib
from collections.abc import Iterator

from hln_tf.common.errors import HlnError

_OWN = ("hln_tf", "serving")


@contextlib.contextmanager
def serving_extra() -> Iterator[None]:
    """Turn a missing package into an error that names the extra, for imports within the block.

    Raises:
      HlnError: A package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or package in _OWN:
            raise
        raise HlnError(
            f"serving needs the Python package {package}, which is not installed: run "
            "pip install 'hln-tf[serving]'"
        ) from None
