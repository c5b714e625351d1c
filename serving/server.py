"""The embedded server: models over REST and gRPC, from start to graceful shutdown."""

import asyncio
import contextlib
import gc
import math
import signal
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import grpc
import tensorflow as tf
import uvicorn
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from hln_tf.common.errors import HlnError
from serving.batching import Batcher
from serving.directory import copy_version, is_copied
from serving.errors import Code, ServingError
from serving.gateway import Call, Gateway
from serving.grpc_methods import TokenInterceptor
from serving.grpc_service import SERVICES, add_services
from serving.http_protocol import ConnectionLimits, bounded_protocol
from serving.listening import Address
from serving.log import Log
from serving.metrics import Metrics
from serving.models import Models
from serving.open_inference_grpc import SERVICE, add_open_inference
from serving.open_inference_rest import OpenInferenceApi
from serving.openapi import openapi_route
from serving.page import page_routes
from serving.predictor import Predictor
from serving.request_log import RequestLog
from serving.rest import RestApi, create_app
from serving.security import Guard, SecuritySettings, server_context
from serving.servable import Servable
from serving.settings import BatchingSettings, ModelSettings, RepositorySettings, ServerSettings

# Longer than the usual timeout of clients and proxies, so that they close a connection first.
KEEP_ALIVE_SECONDS = 75
SWITCH_SECONDS = 0.0005
# For a batch that still runs when the grace period of its requests is over.
CLOSE_SECONDS = 1.0


class Server:
    """A server of models.

    Args:
      configs: The models and their versions.
      repository: Polling of files, and the log of requests.
      settings: Addresses and limits.
      batching: Settings of the batcher.
      security: Encryption and access.
      log: The server's log.

    Raises:
      HlnError: A file of the security settings cannot be used.
    """

    def __init__(
        self,
        configs: Sequence[ModelSettings],
        repository: RepositorySettings,
        settings: ServerSettings,
        batching: BatchingSettings,
        security: SecuritySettings,
        log: Log,
    ) -> None:
        self._configs = configs
        self._repository = repository
        self._settings = settings
        self._batching = batching
        self._security = security
        self._guard = Guard(security, settings.host)
        self._health = health.aio.HealthServicer()
        self._log = log

    def run(self, rest: Address | None, grpc_address: Address | None) -> None:
        """Serve until SIGTERM or SIGINT.

        Args:
          rest: The bound address of the REST API, None for none.
          grpc_address: The bound address of the gRPC API, None for none.

        Raises:
          HlnError: A model has no version that can be loaded, or an address has
            been taken meanwhile.
        """
        # A thread whose batch is complete must soon get the interpreter lock from the event loop.
        sys.setswitchinterval(SWITCH_SECONDS)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(rest, grpc_address))

    async def _serve(self, rest: Address | None, grpc_address: Address | None) -> None:
        stop = asyncio.Event()
        if threading.current_thread() is threading.main_thread():  # others receive no signals
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
        metrics = Metrics()
        batcher = Batcher(self._batching, metrics)
        models = Models(self._configs, self._load, metrics, self._log)
        repository = self._repository
        request_log = None
        if repository.request_log_prefix:
            request_log = RequestLog(
                repository.request_log_prefix, repository.request_log_sampling_rate, self._log
            )
        predictor = Predictor(models, batcher, metrics, self._log, request_log)
        try:
            await models.start()
            # TensorFlow's objects live until the end, so garbage collection can ignore them.
            gc.freeze()
            if not stop.is_set():
                await self._serve_until(stop, predictor, rest, grpc_address)
        finally:
            # No request waits for its response any more.
            if not await asyncio.to_thread(batcher.close, CLOSE_SECONDS):
                self._log.warning("abandoned", reason="a batch still runs")
            # This ends a batch that still runs, too.
            await models.close()
            if request_log:
                await asyncio.to_thread(request_log.close, CLOSE_SECONDS)
        self._log.info("stopped")

    async def _serve_until(
        self,
        stop: asyncio.Event,
        predictor: Predictor,
        rest: Address | None,
        grpc_address: Address | None,
    ) -> None:
        settings, models = self._settings, predictor.models
        closing: list[Callable[[], Awaitable[None]]] = []
        async with self._watching(models):
            try:
                if grpc_address:
                    closing.append(await self._start_grpc(predictor, grpc_address))
                if rest:
                    closing.append(await self._start_http(predictor, rest))
                self._log.info(
                    "serving",
                    models=models.names,
                    host=settings.host,
                    rest_api_port=settings.rest_api_port,
                    port=settings.port,
                    tls=self._security.has_tls,
                )
                await stop.wait()
                predictor.is_draining = True
                await self._health.enter_graceful_shutdown()
                self._log.info("draining")
                await asyncio.sleep(settings.shutdown_delay_seconds)
            finally:
                await asyncio.gather(*(close() for close in closing))

    @contextlib.asynccontextmanager
    async def _watching(self, models: Models) -> AsyncIterator[None]:
        """Poll the files that the models come from, until the end of the block."""
        repository = self._repository
        tasks = [asyncio.create_task(models.watch(repository.file_system_poll_wait_seconds))]
        if repository.model_config_file and repository.model_config_file_poll_wait_seconds:
            path, seconds = (
                Path(repository.model_config_file),
                repository.model_config_file_poll_wait_seconds,
            )
            tasks.append(asyncio.create_task(models.watch_config(path, seconds)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _load(self, path: str, name: str, version: int) -> Servable:
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=self._settings.tensorflow_intra_op_parallelism,
            inter_op_parallelism_threads=self._settings.tensorflow_inter_op_parallelism,
            use_per_session_threads=True,
        )
        if not is_copied(path):
            return Servable(path, name, version, config)
        try:
            copy = copy_version(path)
        except HlnError as error:
            raise ServingError(Code.UNAVAILABLE, str(error)) from None
        servable = Servable(copy.name, name, version, config)
        weakref.finalize(servable, copy.cleanup)
        return servable

    def _application(self, predictor: Predictor) -> ASGIApp:
        timeout = self._settings.request_timeout
        routes = [
            *page_routes(predictor.models),
            openapi_route(predictor.models, bool(self._security.token_file)),
        ]
        apis: dict[str, ASGIApp] = {
            "v1": RestApi(predictor, timeout),
            "v2": OpenInferenceApi(predictor, timeout),
        }
        app: ASGIApp = Gateway(
            create_app(predictor, apis, routes),
            self._guard,
            self._settings.max_request_bytes,
            predictor.record,
        )
        if self._security.cors_origins:
            app = CORSMiddleware(
                app,
                allow_origins=self._security.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
            )
        return app

    async def _start_http(
        self, predictor: Predictor, address: Address
    ) -> Callable[[], Awaitable[None]]:
        """Start to serve HTTP; return what ends it after the requests in flight."""
        settings = self._settings
        limits = ConnectionLimits(
            settings.read_timeout,
            settings.write_timeout,
            lambda client, error: predictor.record("REST", Call.refused(client, error)),
        )
        config = uvicorn.Config(
            self._application(predictor),
            http=bounded_protocol(limits),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=math.ceil(settings.shutdown_grace_seconds),
        )
        config.load()
        if self._security.has_tls:
            config.ssl = server_context(self._security)
        address.listen()
        server = _HttpServer(config)
        task = asyncio.create_task(server.serve([address.socket]))

        async def close() -> None:
            server.should_exit = True
            await task

        return close

    async def _start_grpc(
        self, predictor: Predictor, address: Address
    ) -> Callable[[], Awaitable[None]]:
        """Start to serve gRPC; return what ends it after the requests in flight."""
        interceptors = []
        if self._security.token_file:
            interceptors.append(TokenInterceptor(self._guard, predictor))
        server = grpc.aio.server(
            interceptors=interceptors,
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", self._settings.max_request_bytes),
                ("grpc.max_send_message_length", -1),
            ],
        )
        add_services(server, predictor)
        add_open_inference(server, predictor)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        for service in (health.OVERALL_HEALTH, *SERVICES, SERVICE):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        reflection.enable_server_reflection(
            (*SERVICES, SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server
        )
        # gRPC listens as soon as it has the port.
        address.socket.close()
        try:
            if self._security.has_tls:
                server.add_secure_port(address.text, self._grpc_credentials())
            else:
                server.add_insecure_port(address.text)
        except RuntimeError:
            raise address.taken() from None
        await server.start()
        return lambda: server.stop(self._settings.shutdown_grace_seconds)

    def _grpc_credentials(self) -> grpc.ServerCredentials:
        security = self._security
        ca_file = security.tls_client_ca_file
        key = Path(security.tls_key_file).read_bytes()
        return grpc.ssl_server_credentials(
            [(key, Path(security.tls_certificate_file).read_bytes())],
            Path(ca_file).read_bytes() if ca_file else None,
            require_client_auth=bool(ca_file),
        )


class _HttpServer(uvicorn.Server):
    """uvicorn's server without its signal handlers; `Server` handles signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no handler, unlike uvicorn."""
        yield
