"""Loading and unloading of a model's versions, as they appear in and vanish from its directory."""

import asyncio
import contextlib
import dataclasses
import enum
import gc
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hln_tf.common.errors import HlnError
from serving.directory import VersionDirectory, find_versions
from serving.errors import Code, ServingError, invalid
from serving.log import Log
from serving.metrics import Metrics
from serving.servable import Servable
from serving.settings import ModelSettings

# Exponential backoff of a failed load while the files do not change: the first retry comes after
# so many seconds, each further one after four times as many.
RETRIES = 3
RETRY_SECONDS = 2.0


class State(enum.Enum):
    """The state of a version, with TensorFlow Serving's names."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass
class Status:
    """The status of a version.

    Attributes:
      state: The state.
      error: The error of a load that failed.
    """

    state: State
    error: ServingError | None = None


@dataclasses.dataclass(frozen=True)
class _Failure:
    """A failed load: modification times of the files, attempts so far, and time of the retry."""

    modified: tuple[int, ...]
    attempts: int
    retry_at: float

    @classmethod
    def after(cls, attempts: int, modified: tuple[int, ...]) -> "_Failure":
        """Schedule the next retry, or none after the last one."""
        seconds = RETRY_SECONDS * 4**attempts if attempts < RETRIES else math.inf
        return cls(modified, attempts + 1, time.monotonic() + seconds)


class Versions:
    """The loaded versions of a model, in accordance with its directory and version policy.

    A version that cannot be loaded never replaces one that serves: `latest` is
    the largest version that loads. All methods run in the event loop.

    Args:
      settings: The directory and the version policy.
      load: Loads a version from its directory and number; runs in a thread.
      metrics: Counts the loads.
      log: Logs the loads.

    Attributes:
      name: The model's name.
    """

    def __init__(
        self,
        settings: ModelSettings,
        load: Callable[[Path, int], Servable],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self.name = settings.name
        self.base_path = Path(settings.model_base_path)
        self._policy = settings
        self._load = load
        self._metrics = metrics
        self._log = log
        self._loaded: dict[int, Servable] = {}
        self._statuses: dict[int, Status] = {}
        self._failed: dict[int, _Failure] = {}
        self._has_garbage = False
        self._was_empty = False
        self._reconciling = asyncio.Lock()

    async def start(self) -> None:
        """Load the versions in the directory.

        Raises:
          HlnError: No version can be loaded; the message has the error of the
            largest one.
        """
        await self.reconcile()
        if not self._loaded:
            version = max(self._statuses)
            raise HlnError(
                f"no version in {self.base_path} can be loaded; "
                f"version {version}: {self._statuses[version].error}"
            )

    async def watch(self) -> None:
        """Poll the directory until cancelled."""
        while True:
            await asyncio.sleep(self._policy.file_system_poll_wait_seconds)
            try:
                await self.reconcile()
            except OSError as error:
                self._log.warning("poll_failed", path=str(self.base_path), error=str(error))

    async def reconcile(self) -> None:
        """Load the versions that the policy selects, then unload all others."""
        async with self._reconciling:
            if self._has_garbage:
                self._has_garbage = False
                await asyncio.to_thread(_collect_garbage)
            found = await asyncio.to_thread(find_versions, self.base_path)
            if not found:
                if not self._was_empty:
                    self._log.warning("no_versions", path=str(self.base_path))
                self._was_empty = True
                return
            self._was_empty = False
            selected = await self._load_selected(self._policy, found)
            if selected:
                await self._unload_all_but(selected)

    async def set_policy(self, policy: ModelSettings) -> None:
        """Apply another version policy and other labels.

        Its versions are loaded first: until then, and if a load fails, the
        previous policy and versions remain in effect.

        Raises:
          ServingError: FAILED_PRECONDITION; a version that it names cannot be served.
        """
        async with self._reconciling:
            before = set(self._loaded)
            found = await asyncio.to_thread(find_versions, self.base_path)
            selected = await self._load_selected(policy, found)
            named = set(policy.labels().values()) | (policy.versions() or set())
            missing = named - selected
            if not selected or missing:
                await self._unload_all_but(before)
                what = f"version {min(missing)}" if missing else "the latest version"
                raise ServingError(
                    Code.FAILED_PRECONDITION,
                    f"the policy cannot be applied: {what} of model {self.name} is not available",
                )
            self._policy = policy
            await self._unload_all_but(selected)

    @contextlib.contextmanager
    def using(self, name: str, version: int | None, label: str | None) -> Iterator[Servable]:
        """Yield a version, which remains loaded within the block.

        Args:
          name: The model's name.
          version: Number of the version.
          label: Label of the version. Without both, the latest version is used.

        Raises:
          ServingError: NOT_FOUND, or INVALID_ARGUMENT for an unknown label.
        """
        servable = self._lookup(name, version, label)
        servable.acquire()
        try:
            yield servable
        finally:
            servable.release()
            if servable.closed:
                self._ended(servable.version)

    def statuses(self, name: str, version: int | None, label: str | None) -> dict[int, Status]:
        """Return the status of every version seen so far, or of one.

        Raises:
          ServingError: NOT_FOUND, or INVALID_ARGUMENT for an unknown label.
        """
        if name != self.name:
            if version is not None:
                raise ServingError(
                    Code.NOT_FOUND, f"Could not find version {version} of model {name}"
                )
            raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
        if label is not None:
            version = self._version_of_label(label)
        if version is None:
            return dict(sorted(self._statuses.items()))
        if version not in self._statuses:
            raise ServingError(Code.NOT_FOUND, f"Could not find version {version} of model {name}")
        return {version: self._statuses[version]}

    async def close(self) -> None:
        """Unload all versions."""
        for version in list(self._loaded):
            await self._unload(version)

    def _lookup(self, name: str, version: int | None, label: str | None) -> Servable:
        if name == self.name and label is not None:
            version = self._version_of_label(label)
        if name == self.name and self._loaded:
            servable = self._loaded.get(max(self._loaded) if version is None else version)
            if servable is not None:
                return servable
        request = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {request}")

    def _version_of_label(self, label: str) -> int:
        version = self._policy.labels().get(label)
        if version is None:
            raise invalid(f"Unrecognized servable version label: {label}")
        return version

    async def _load_selected(
        self, policy: ModelSettings, found: dict[int, VersionDirectory]
    ) -> set[int]:
        """Load the versions that a policy selects, and return those that are available."""
        labelled = set(policy.labels().values())
        numbers = policy.versions()
        candidates = found.keys() if numbers is None else found.keys() & numbers
        only_latest = policy.served_versions == "latest"
        available = set()
        for version in sorted(candidates, reverse=True):
            if await self._ensure(version, found[version]):
                available.add(version)
                if only_latest:
                    break
        for version in labelled & found.keys() - available:
            if await self._ensure(version, found[version]):
                available.add(version)
        return available

    async def _ensure(self, version: int, found: VersionDirectory) -> bool:
        """Load a version unless it is loaded; return whether it is available."""
        if version in self._loaded:
            return True
        failed = self._failed.get(version)
        if failed and failed.modified != found.modified:
            failed = None
        if failed and time.monotonic() < failed.retry_at:
            return False
        if not failed:
            self._statuses[version] = Status(State.LOADING)
        started = time.monotonic()
        self._log.info("loading", model=self.name, version=version)
        try:
            servable = await asyncio.to_thread(self._load, found.path, version)
        except ServingError as error:
            attempts = failed.attempts if failed else 0
            self._failed[version] = _Failure.after(attempts, found.modified)
            self._statuses[version] = Status(State.END, error)
            self._metrics.loads.add(self.name, error.code.name)
            self._log.error(
                "load_failed",
                model=self.name,
                version=version,
                code=error.code.name,
                error=error.message,
            )
            return False
        self._failed.pop(version, None)
        self._loaded[version] = servable
        self._statuses[version] = Status(State.AVAILABLE)
        self._metrics.loads.add(self.name, Code.OK.name)
        seconds = round(time.monotonic() - started, 3)
        self._log.info("available", model=self.name, version=version, seconds=seconds)
        return True

    async def _unload_all_but(self, versions: set[int]) -> None:
        for version in sorted(self._loaded.keys() - versions):
            await self._unload(version)

    async def _unload(self, version: int) -> None:
        servable = self._loaded.pop(version)
        self._statuses[version] = Status(State.UNLOADING)
        self._log.info("unloading", model=self.name, version=version)
        await asyncio.to_thread(servable.retire)
        if servable.closed:
            self._ended(version)

    def _ended(self, version: int) -> None:
        if version not in self._loaded and self._statuses[version].state is State.UNLOADING:
            self._statuses[version] = Status(State.END)
            self._has_garbage = True
            self._log.info("unloaded", model=self.name, version=version)


def _collect_garbage() -> None:
    """Free unloaded versions, which `gc.freeze` excludes from garbage collection."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
