"""Serve SavedModels as TensorFlow Serving does, REST and gRPC: `python -m serving.serve`."""

import contextlib
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from hln_tf.common import cli
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.files import is_url
from hln_tf.common.settings import declared_fields, value_type
from serving.directory import check_versions
from serving.listening import Address
from serving.security import SecuritySettings, is_loopback, read_token, server_context
from serving.settings import (
    SERVER_PACKAGES,
    BatchingSettings,
    ModelSettings,
    RepositorySettings,
    ServerSettings,
)

EXAMPLES = """examples:
  python -m serving.serve --model_base_path models/hln
  python -m serving.serve --model_base_path models/hln --version_labels stable=3 canary=4
  python -m serving.serve --model_config_file serving/models.config
"""
_SETTINGS = (
    (ModelSettings, "model"),
    (RepositorySettings, "models"),
    (ServerSettings, "server"),
    (SecuritySettings, "security"),
    (BatchingSettings, "batching"),
)


def main(arguments: Sequence[str]) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in flight."""
    parser = cli.Parser(prog="python -m serving.serve", description=__doc__, epilog=EXAMPLES)
    shown = {"model_base_path": "none, it must be given", "model_name": "the directory's name"}
    for cls, title in _SETTINGS:
        cli.add_settings(parser, cls, title, shown if cls is ModelSettings else None)
    flags = parser.parse_args(translate_flags(arguments))
    model = cli.settings_from(ModelSettings, flags)
    repository = cli.settings_from(RepositorySettings, flags)
    settings = cli.settings_from(ServerSettings, flags)
    security = cli.settings_from(SecuritySettings, flags)
    batching = cli.settings_from(BatchingSettings, flags)
    if bool(model.model_base_path) == bool(repository.model_config_file):
        raise UsageError(
            "--model_base_path is missing, expected a directory such as models/hln"
            if not model.model_base_path
            else "--model_base_path and --model_config_file exclude each other: give one of them"
        )
    if model.model_base_path and not is_url(model.model_base_path):
        check_versions(model)
    read_token("token_file", security.token_file)
    if security.has_tls:
        server_context(security)
    _check_log_prefix(repository.request_log_prefix)
    cli.require_extra("serving", SERVER_PACKAGES)
    with contextlib.ExitStack() as stack:
        # Ports are bound before TensorFlow is imported, to report one in use at once.
        addresses = [
            stack.enter_context(Address(flag, settings.host, port)) if port else None
            for flag, port in (("rest_api_port", settings.rest_api_port), ("port", settings.port))
        ]
        # Else gRPC writes lines of its own form into the log.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        # Its blocks are small, and many threads allocate them at the same time.
        cli.import_tensorflow(reuses_memory=False)
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        from serving.models import read_configs

        configs = [model]
        if repository.model_config_file:
            configs = read_configs(Path(repository.model_config_file))
        for config in configs:
            check_versions(config)
        from serving.log import JsonHandler, Log
        from serving.server import Server

        log = Log(settings.log)
        logging.basicConfig(handlers=[JsonHandler(log)], level=logging.WARNING, force=True)
        if not (is_loopback(settings.host) or security.token_file or security.tls_client_ca_file):
            log.warning(
                "open",
                host=settings.host,
                reason="whoever reaches these ports may query, reload and read the models: give "
                "--token_file, and --tls_certificate_file with --tls_key_file",
            )
        Server(configs, repository, settings, batching, security, log).run(*addresses)


def translate_flags(arguments: Sequence[str]) -> list[str]:
    """Replace TensorFlow Serving's forms of flags by those of this parser.

    They are `--flag=true` and `--flag=false` for booleans, `--rest_api_timeout_in_ms`
    and `--rest_api_enable_cors_support`.

    Raises:
      UsageError: A value is neither true nor false, or no number of milliseconds.
    """
    booleans = {
        field.name
        for cls, _ in _SETTINGS
        for field in declared_fields(cls)
        if value_type(field, cls)[0] is bool
    }
    translated = []
    for argument in arguments:
        found = re.fullmatch(r"--(\w+)(?:=(.*))?", argument, re.DOTALL)
        name, value = (found[1], found[2]) if found else ("", None)
        if name in booleans and value is not None:
            translated.append(f"--{name}" if _boolean(name, value) else f"--no-{name}")
        elif name == "rest_api_enable_cors_support":
            translated += ["--cors_origins", "*"] if _boolean(name, value or "true") else []
        elif name == "rest_api_timeout_in_ms":
            if value is None or not re.fullmatch(r"\d{1,9}", value, re.ASCII):
                raise UsageError(
                    f"--{name} is {value!r}, expected --{name}=MILLISECONDS, such as --{name}=30000"
                )
            translated.append(f"--request_timeout={int(value) / 1000}")
        else:
            translated.append(argument)
    return translated


def _boolean(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0"):
        raise UsageError(f"--{name} is {value!r}, expected true or false")
    return value.lower() in ("true", "1")


def _check_log_prefix(prefix: str) -> None:
    directory = os.path.dirname(os.path.abspath(prefix))
    if prefix and not is_url(prefix) and not os.access(directory, os.W_OK):
        raise HlnError(
            f"--request_log_prefix {prefix} cannot be written: {directory} is no directory that "
            "this user may write to"
        )


if __name__ == "__main__":
    sys.exit(cli.run(main))
