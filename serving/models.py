"""The served models by name, from flags or a model config file, changed while serving."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from hln_tf.common.errors import HlnError, UsageError
from serving.errors import Code, ServingError, invalid
from serving.log import Log
from serving.metrics import Metrics
from serving.servable import Servable
from serving.settings import ModelSettings
from serving.versions import Load, State, Status, Versions, not_found


class Models:
    """The served models.

    All methods run in the event loop.

    Args:
      configs: Directory and version policy of each model; the names differ.
      load: Loads a version; see `Versions`.
      metrics: Counts the loads.
      log: Logs the loads.
    """

    def __init__(
        self, configs: Sequence[ModelSettings], load: Load, metrics: Metrics, log: Log
    ) -> None:
        self._make = lambda settings: Versions(settings, load, metrics, log)
        self._log = log
        self._models = {settings.name: self._make(settings) for settings in configs}
        self._changing = asyncio.Lock()

    @property
    def names(self) -> list[str]:
        """Names of the models, in the order of their configuration."""
        return list(self._models)

    async def start(self) -> None:
        """Load the versions of every model.

        Raises:
          HlnError: A model has no version that can be loaded.
        """
        for versions in self._models.values():
            await versions.start()

    async def watch(self, seconds: float) -> None:
        """Poll the directories until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            async with self._changing:
                for versions in self._models.values():
                    await versions.poll()

    async def watch_config(self, path: Path, seconds: float) -> None:
        """Poll a file of models until cancelled, and serve what it says."""
        text = path.read_bytes()
        while True:
            await asyncio.sleep(seconds)
            try:
                if (read := await asyncio.to_thread(path.read_bytes)) != text:
                    text = read
                    await self.reload(read_configs(path))
                    self._log.info("config_applied", path=str(path), models=self.names)
            except (HlnError, OSError, ServingError) as error:
                self._log.error("config_failed", path=str(path), error=str(error))

    async def reload(self, configs: Sequence[ModelSettings]) -> None:
        """Serve other models, or the same ones by other policies.

        What is new is loaded first: until then, and if a load fails, everything
        remains as it was.

        Raises:
          ServingError: FAILED_PRECONDITION; a version cannot be served.
        """
        async with self._changing:
            models: dict[str, Versions] = {}
            new: list[Versions] = []
            try:
                async with contextlib.AsyncExitStack() as stack:
                    for settings in configs:
                        versions = self._models.get(settings.name)
                        if versions and versions.base_path == settings.model_base_path:
                            await stack.enter_async_context(versions.changing_policy(settings))
                        else:
                            versions = self._make(settings)
                            new.append(versions)
                            await _start(versions)
                        models[settings.name] = versions
            except BaseException:
                for versions in new:
                    await versions.close()
                raise
            before, self._models = self._models, models
            for name, versions in before.items():
                if models.get(name) is not versions:
                    await versions.close()

    async def close(self) -> None:
        """Unload all versions."""
        for versions in self._models.values():
            await versions.close()

    @contextlib.contextmanager
    def using(self, name: str, version: int | None, label: str | None) -> Iterator[Servable]:
        """Yield a version of a model, which remains loaded within the block.

        Args:
          name: The model's name.
          version: Number of the version.
          label: Label of the version. Without both, the latest version is used.

        Raises:
          ServingError: NOT_FOUND, or INVALID_ARGUMENT for an unknown label.
        """
        versions = self._models.get(name)
        if versions is None:
            raise not_found(name, version)
        with versions.using(version, label) as servable:
            yield servable

    def available(self, name: str) -> list[int]:
        """Return the versions of a model that serve."""
        statuses = self.statuses(name, None, None)
        return [each for each, status in statuses.items() if status.state is State.AVAILABLE]

    def statuses(self, name: str, version: int | None, label: str | None) -> dict[int, Status]:
        """Return the status of every version of a model seen so far, or of one.

        Raises:
          ServingError: NOT_FOUND, or INVALID_ARGUMENT for an unknown label.
        """
        versions = self._models.get(name)
        if versions is not None:
            return versions.statuses(version, label)
        which = "any versions" if version is None else f"version {version}"
        raise ServingError(Code.NOT_FOUND, f"Could not find {which} of model {name}")


async def _start(versions: Versions) -> None:
    try:
        await versions.start()
    except (HlnError, OSError) as error:
        raise ServingError(
            Code.FAILED_PRECONDITION, f"the model {versions.name} cannot be served: {error}"
        ) from None


def read_configs(path: Path) -> list[ModelSettings]:
    """Read a `ModelServerConfig` in protobuf's text format, as `--model_config_file` names it.

    Raises:
      HlnError: It cannot be read.
      UsageError: It has another form, or asks for what this server lacks.
    """
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(path.read_text("utf-8"), config)
    except OSError as error:
        raise HlnError(f"--model_config_file {path} cannot be read ({error.strerror})") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--model_config_file {path} is no ModelServerConfig in text format ({error})"
        ) from None
    try:
        return configs_from(config)
    except ServingError as error:
        raise UsageError(f"--model_config_file {path}: {error.message}") from None


def configs_from(config: Any) -> list[ModelSettings]:
    """Convert a `ModelServerConfig` to settings.

    Raises:
      ServingError: INVALID_ARGUMENT; it lacks models, or names one twice or without
        a base path.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise invalid(
            "ServerModelConfig type not supported. Only ModelConfigList is currently supported"
        )
    settings: dict[str, ModelSettings] = {}
    for model in config.model_config_list.config:
        if not model.name or not model.base_path:
            raise invalid("a model has no name or no base_path, expected both")
        if model.name in settings:
            raise invalid(f"the model {model.name!r} is configured twice, expected once")
        labels = model.version_labels
        try:
            settings[model.name] = ModelSettings(
                model_base_path=model.base_path,
                model_name=model.name,
                served_versions=_served_versions(model.model_version_policy),
                version_labels=tuple(f"{label}={labels[label]}" for label in sorted(labels)),
            )
        except UsageError as error:
            raise invalid(f"the model {model.name!r}: {error}") from None
    if not settings:
        raise invalid("there is no model, expected at least one")
    return list(settings.values())


def _served_versions(policy: Any) -> str:
    kind = policy.WhichOneof("policy_choice") or "latest"
    if kind == "specific":
        return ",".join(map(str, policy.specific.versions))
    return f"latest:{policy.latest.num_versions or 1}" if kind == "latest" else "all"
