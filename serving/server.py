"""The embedded server: one model, REST and gRPC, from start to graceful shutdown."""

import asyncio
import contextlib
import gc
import math
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import tensorflow as tf
import uvicorn
import uvloop

from hln_tf.common.errors import HlnError
from serving.batching import Batcher
from serving.grpc_service import add_services
from serving.http_protocol import bounded_protocol
from serving.log import Log
from serving.metrics import Metrics
from serving.page import page_routes
from serving.predictor import Predictor
from serving.rest import create_app
from serving.servable import Servable
from serving.settings import BatchingSettings, ModelSettings, ServerSettings
from serving.versions import Versions

# Longer than the usual timeout of clients and proxies, so that they close a connection first.
KEEP_ALIVE_SECONDS = 75
SWITCH_SECONDS = 0.0005
# For a batch that still runs when the grace period of its requests is over.
CLOSE_SECONDS = 1.0


class Server:
    """A server of one model.

    Args:
      model: The model and its versions.
      settings: Addresses and limits.
      batching: Settings of the batcher.
      log: The server's log.
    """

    def __init__(
        self,
        model: ModelSettings,
        settings: ServerSettings,
        batching: BatchingSettings,
        log: Log,
    ) -> None:
        self._model = model
        self._settings = settings
        self._batching = batching
        self._log = log

    def run(self, listener: socket.socket | None) -> None:
        """Serve until SIGTERM or SIGINT.

        Args:
          listener: The socket of the REST API, None for none.

        Raises:
          HlnError: No version can be loaded, or the gRPC port cannot be bound.
        """
        # A thread whose batch is complete must soon get the interpreter lock from the event loop.
        sys.setswitchinterval(SWITCH_SECONDS)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(listener))

    async def _serve(self, listener: socket.socket | None) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        metrics = Metrics()
        batcher = Batcher(self._batching, metrics)
        versions = Versions(self._model, self._load, metrics, self._log)
        predictor = Predictor(versions, batcher, metrics, self._log)
        try:
            grpc_server = self._grpc_server(predictor)
            await versions.start()
            # TensorFlow's objects live until the end, so garbage collection can ignore them.
            gc.freeze()
            if not stop.is_set():
                await self._serve_until(stop, predictor, grpc_server, listener)
        finally:
            # No request waits for its response any more.
            if not await asyncio.to_thread(batcher.close, CLOSE_SECONDS):
                self._log.warning("abandoned", reason="a batch still runs")
            # This ends a batch that still runs, too.
            await versions.close()
        self._log.info("stopped")

    async def _serve_until(
        self,
        stop: asyncio.Event,
        predictor: Predictor,
        grpc_server: grpc.aio.Server | None,
        listener: socket.socket | None,
    ) -> None:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(predictor.versions.watch())
            if grpc_server:
                await grpc_server.start()
            http_server = None
            if listener:
                http_server = self._http_server(predictor)
                tasks.create_task(http_server.serve([listener]))
            self._log.info(
                "serving",
                model=predictor.versions.name,
                host=self._settings.host,
                rest_api_port=self._settings.rest_api_port,
                port=self._settings.port,
            )
            await stop.wait()
            self._log.info("draining")
            watching.cancel()
            if http_server:
                http_server.should_exit = True
            if grpc_server:
                await grpc_server.stop(self._settings.shutdown_grace_seconds)

    def _load(self, path: Path, version: int) -> Servable:
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=self._settings.tensorflow_intra_op_parallelism,
            inter_op_parallelism_threads=self._settings.tensorflow_inter_op_parallelism,
            use_per_session_threads=True,
        )
        return Servable(path, self._model.name, version, config)

    def _http_server(self, predictor: Predictor) -> "_HttpServer":
        config = uvicorn.Config(
            create_app(predictor, self._settings, page_routes(predictor.versions)),
            http=bounded_protocol(self._settings.read_timeout),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=math.ceil(self._settings.shutdown_grace_seconds),
        )
        return _HttpServer(config)

    def _grpc_server(self, predictor: Predictor) -> grpc.aio.Server | None:
        settings = self._settings
        if not settings.port:
            return None
        server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", settings.max_request_bytes),
                ("grpc.max_send_message_length", -1),
            ]
        )
        add_services(server, predictor, self._model)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        try:
            server.add_insecure_port(f"{host}:{settings.port}")
        except RuntimeError:
            raise HlnError(
                f"cannot listen on {host}:{settings.port}: choose another --host or --port"
            ) from None
        return server


class _HttpServer(uvicorn.Server):
    """uvicorn's server without its signal handlers; `Server` handles signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no handler, unlike uvicorn."""
        yield
