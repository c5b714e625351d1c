"""The packages of hln-tf's extra `serving`, which only the server and the client need."""

from collections.abc import Iterable
from importlib.util import find_spec

from hln_tf.common.errors import HlnError

SERVER = ("grpc", "httptools", "orjson", "starlette", "tensorflow_serving", "uvicorn", "uvloop")
GRPC_CLIENT = ("grpc", "tensorflow_serving")
REST_CLIENT = ("urllib3",)


def require_extra(packages: Iterable[str]) -> None:
    """Check that packages of the extra are installed, without importing them.

    Args:
      packages: Names of the Python packages.

    Raises:
      HlnError: One is missing.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise HlnError(
            f"serving needs Python packages that are not installed ({', '.join(missing)}): "
            "run pip install 'hln-tf[serving]'"
        )
