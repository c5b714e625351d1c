"""The versions of a model: found on disk, loaded beside the old ones, unloaded when unused."""

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
from serving.directory import Found, find_versions
from serving.errors import Code, ServingError, invalid
from serving.log import Log
from serving.metrics import Metrics
from serving.servable import Servable
from serving.settings import ModelSettings

# After a failure, a version whose files stay as they are is tried so often again, first after
# so many seconds and then after four times as many each.
RETRIES = 3
RETRY_SECONDS = 2.0


class State(enum.Enum):
    """Where a version is in its life, by TensorFlow Serving's names."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass
class Status:
    """What a status request tells of a version.

    Attributes:
      state: Where it is in its life.
      error: Why it ended, where it failed.
    """

    state: State
    error: ServingError | None = None


@dataclasses.dataclass(frozen=True)
class _Failure:
    """A load that failed: of which files, for which time, and when it is tried again."""

    stamp: tuple[int, ...]
    attempts: int
    retry_at: float

    @classmethod
    def after(cls, attempts: int, stamp: tuple[int, ...]) -> "_Failure":
        """One more failure; what fails for a while may load soon, what is broken never does."""
        seconds = RETRY_SECONDS * 4**attempts if attempts < RETRIES else math.inf
        return cls(stamp, attempts + 1, time.monotonic() + seconds)


class Versions:
    """Keeps the versions that are wanted loaded.

    A version that cannot be loaded never takes the place of one that serves:
    `latest` means the largest that loads. All methods run in the event loop.

    Args:
      settings: The directory and the policy.
      load: Loads a version's directory under its number; runs in a thread.
      metrics: Where loads are counted.
      log: Where loads are told.

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
        self._unfreeze = False
        self._seen = True
        self._reconciling = asyncio.Lock()

    async def start(self) -> None:
        """Loads what is there.

        Raises:
          HlnError: No version loads; the message tells why the largest does not.
        """
        await self.reconcile()
        if not self._loaded:
            version = max(self._statuses)
            raise HlnError(
                f"no version in {self.base_path} can be loaded; "
                f"version {version}: {self._statuses[version].error}"
            )

    async def watch(self) -> None:
        """Follows the directory until it is cancelled."""
        while True:
            await asyncio.sleep(self._policy.file_system_poll_wait_seconds)
            try:
                await self.reconcile()
            except OSError as error:
                self._log.warning("poll_failed", path=str(self.base_path), error=str(error))

    async def reconcile(self) -> None:
        """Loads what is wanted and missing, then unloads what is not wanted any more."""
        async with self._reconciling:
            if self._unfreeze:
                self._unfreeze = False
                await asyncio.to_thread(_free_what_ended)
            found = await asyncio.to_thread(find_versions, self.base_path)
            if not found:
                if self._seen:
                    self._log.warning("no_versions", path=str(self.base_path))
                self._seen = False
                return
            self._seen = True
            wanted = await self._load_wanted(self._policy, found)
            if wanted:
                await self._unload_but(wanted)

    async def set_policy(self, policy: ModelSettings) -> None:
        """Takes another policy and other labels.

        What it wants is loaded first: until then, and where that fails, the
        policy and the versions before it serve.

        Raises:
          ServingError: FAILED_PRECONDITION; a version that it names cannot be served.
        """
        async with self._reconciling:
            before = set(self._loaded)
            found = await asyncio.to_thread(find_versions, self.base_path)
            wanted = await self._load_wanted(policy, found)
            named = set(policy.labels().values()) | (policy.versions() or set())
            if not wanted or named - wanted:
                await self._unload_but(before)
                what = f"version {min(named - wanted)}" if named - wanted else "the latest version"
                raise ServingError(
                    Code.FAILED_PRECONDITION,
                    f"the policy cannot be taken: {what} of model {self.name} is not available",
                )
            self._policy = policy
            await self._unload_but(wanted)

    @contextlib.contextmanager
    def using(self, name: str, version: int | None, label: str | None) -> Iterator[Servable]:
        """A version, which stays loaded within the block.

        Args:
          name: The model's name.
          version: A version by number.
          label: A version by label. The latest where neither is given.

        Raises:
          ServingError: NOT_FOUND or, for a label that nobody set, INVALID_ARGUMENT.
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
        """The state of every version seen so far, or of one.

        Raises:
          ServingError: NOT_FOUND or, for a label that nobody set, INVALID_ARGUMENT.
        """
        if name != self.name:
            if version is not None:
                raise ServingError(
                    Code.NOT_FOUND, f"Could not find version {version} of model {name}"
                )
            raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
        if label is not None:
            version = self._labelled(label)
        if version is None:
            return dict(sorted(self._statuses.items()))
        if version not in self._statuses:
            raise ServingError(Code.NOT_FOUND, f"Could not find version {version} of model {name}")
        return {version: self._statuses[version]}

    async def close(self) -> None:
        """Unloads everything."""
        for version in list(self._loaded):
            await self._unload(version)

    def _lookup(self, name: str, version: int | None, label: str | None) -> Servable:
        if name == self.name and label is not None:
            version = self._labelled(label)
        if name == self.name and self._loaded:
            servable = self._loaded.get(max(self._loaded) if version is None else version)
            if servable is not None:
                return servable
        request = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {request}")

    def _labelled(self, label: str) -> int:
        version = self._policy.labels().get(label)
        if version is None:
            raise invalid(f"Unrecognized servable version label: {label}")
        return version

    async def _load_wanted(self, policy: ModelSettings, found: dict[int, Found]) -> set[int]:
        """Loads by a policy and returns the wanted versions that are available."""
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

    async def _ensure(self, version: int, found: Found) -> bool:
        if version in self._loaded:
            return True
        failed = self._failed.get(version)
        if failed and failed.stamp == found.stamp and time.monotonic() < failed.retry_at:
            return False
        if not failed or failed.stamp != found.stamp:
            self._statuses[version] = Status(State.LOADING)
        started = time.monotonic()
        self._log.info("loading", model=self.name, version=version)
        try:
            servable = await asyncio.to_thread(self._load, found.path, version)
        except ServingError as error:
            attempts = failed.attempts if failed and failed.stamp == found.stamp else 0
            self._failed[version] = _Failure.after(attempts, found.stamp)
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

    async def _unload_but(self, wanted: set[int]) -> None:
        for version in sorted(self._loaded.keys() - wanted):
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
            self._unfreeze = True
            self._log.info("unloaded", model=self.name, version=version)


def _free_what_ended() -> None:
    """Lets go of unloaded versions, which `gc.freeze` at the start keeps from collections."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
