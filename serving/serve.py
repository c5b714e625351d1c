"""Serve a SavedModel as TensorFlow Serving does, REST and gRPC: `python -m serving.serve`."""

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Sequence

from hln_tf.common import cli
from hln_tf.common.errors import HlnError, UsageError
from serving.directory import check_versions
from serving.settings import SERVER_PACKAGES, BatchingSettings, ModelSettings, ServerSettings

EXAMPLES = """examples:
  python -m serving.serve --model_base_path models/hln
  python -m serving.serve --model_base_path models/hln --version_labels stable=3 canary=4
"""


def main(arguments: Sequence[str]) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in flight."""
    parser = cli.Parser(prog="python -m serving.serve", description=__doc__, epilog=EXAMPLES)
    shown = {"model_base_path": "none, it must be given", "model_name": "the directory's name"}
    cli.add_settings(parser, ModelSettings, "model", shown)
    cli.add_settings(parser, ServerSettings, "server")
    cli.add_settings(parser, BatchingSettings, "batching")
    flags = parser.parse_args(arguments)
    model = cli.settings_from(ModelSettings, flags)
    settings = cli.settings_from(ServerSettings, flags)
    batching = cli.settings_from(BatchingSettings, flags)
    if not model.model_base_path:
        raise UsageError("--model_base_path is missing, expected a directory such as models/hln")
    check_versions(model)
    cli.require_extra("serving", SERVER_PACKAGES)
    with contextlib.ExitStack() as stack:
        # Ports are bound before TensorFlow is imported, to report one in use at once.
        listener = None
        if settings.rest_api_port:
            listener = stack.enter_context(_bind("rest_api_port", settings))
        if settings.port:
            _bind("port", settings).close()
        cli.import_tensorflow()
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        from serving.log import JsonHandler, Log
        from serving.server import Server

        log = Log(settings.log)
        logging.basicConfig(handlers=[JsonHandler(log)], level=logging.WARNING, force=True)
        Server(model, settings, batching, log).run(listener)


def _bind(flag: str, settings: ServerSettings) -> socket.socket:
    """Create a socket that listens.

    Raises:
      HlnError: The address is in use, or is not one of this machine.
    """
    host, port = settings.host, getattr(settings, flag)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        # The errors of name resolution have numbers of their own.
        if error.errno and not isinstance(error, socket.gaierror):
            reason = os.strerror(error.errno)
        else:
            reason = error.strerror or str(error)
        raise HlnError(
            f"cannot listen on {host}:{port} ({reason}): choose another --host or --{flag}"
        ) from None


if __name__ == "__main__":
    sys.exit(cli.run(main))
