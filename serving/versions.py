"""Loading and unloading of a model's versions, as they appear in and vanish from its directory."""

import asyncio
import contextlib
import dataclasses
import enum
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator

from hln_tf.common.errors import HlnError
from serving.directory import VersionDirectory, find_versions
from serving.errors import Code, ServingError, invalid
from serving.log import Log
from serving.metrics import Metrics
from serving.servable import Servable
from serving.settings import ModelSettings

# Exponential backoff of a failed load while the files do not change: the first retry comes after
# so many seconds, each further one after twice as many, up to a minute.
RETRY_SECONDS = 2.0
MAX_RETRY_SECONDS = 60.0

Load = Callable[[str, str, int], Servable]


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
    """A failed load: fingerprint of the files, error, attempts so far, and time of the retry."""

    fingerprint: tuple[object, ...]
    message: str
    attempts: int
    retry_at: float


class Versions:
    """The loaded versions of a model, in accordance with its directory and version policy.

    A version that cannot be loaded never replaces one that serves: `latest` is
    the largest version that loads. All methods run in the event loop.

    Args:
      settings: The directory and the version policy.
      load: Loads a version from its directory, the model's name and its number;
        runs in a thread.
      metrics: Counts the loads.
      log: Logs the loads.

    Attributes:
      name: The model's name.
      base_path: The directory.
    """

    def __init__(
        self,
        settings: ModelSettings,
        load: Load,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self.name = settings.name
        self.base_path = settings.model_base_path
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
        if not self._statuses:
            raise HlnError(f"{self.base_path} holds no version of a model")
        if not self._loaded:
            version = max(self._statuses)
            raise HlnError(
                f"no version in {self.base_path} can be loaded; "
                f"version {version}: {self._statuses[version].error}"
            )

    async def reconcile(self) -> None:
        """Load the versions that the policy selects, then unload all others."""
        async with self._reconciling:
            if self._has_garbage:
                self._has_garbage = False
                await asyncio.to_thread(_collect_garbage)
            found = await asyncio.to_thread(find_versions, self.base_path)
            if not found:
                if not self._was_empty:
                    self._log.warning("no_versions", path=self.base_path)
                self._was_empty = True
                return
            self._was_empty = False
            selected = await self._load_selected(self._policy, found)
            if selected:
                await self._unload_all_but(selected)

    async def poll(self) -> None:
        """Call `reconcile`, and log if the directory cannot be read."""
        try:
            await self.reconcile()
        except OSError as error:
            self._log.warning("poll_failed", path=self.base_path, error=str(error))

    @contextlib.asynccontextmanager
    async def changing_policy(self, policy: ModelSettings) -> AsyncIterator[None]:
        """Apply another version policy and other labels at the end of the block.

        Its versions are loaded first: until the end, and after an error in the
        block or before it, the previous policy and versions remain in effect.

        Raises:
          ServingError: FAILED_PRECONDITION; a version that it names cannot be served.
        """
        async with self._reconciling:
            before = set(self._loaded)
            try:
                found = await asyncio.to_thread(find_versions, self.base_path)
                selected = await self._load_selected(policy, found)
                named = set(policy.labels().values()) | (policy.versions() or set())
                missing = named - selected
                if not selected or missing:
                    what = f"version {min(missing)}" if missing else "the latest version"
                    raise ServingError(
                        Code.FAILED_PRECONDITION,
                        f"the policy cannot be applied: {what} of model {self.name} is not "
                        "available",
                    )
                yield
            except BaseException:
                await self._unload_all_but(before)
                raise
            self._policy = policy
            await self._unload_all_but(selected)

    @contextlib.contextmanager
    def using(self, version: int | None, label: str | None) -> Iterator[Servable]:
        """Yield a version, which remains loaded within the block.

        Args:
          version: Number of the version.
          label: Label of the version. Without both, the latest version is used.

        Raises:
          ServingError: NOT_FOUND, or INVALID_ARGUMENT for an unknown label.
        """
        servable = self._lookup(version, label)
        servable.acquire()
        try:
            yield servable
        finally:
            servable.release()
            if servable.closed:
                self._ended(servable.version)

    def statuses(self, version: int | None, label: str | None) -> dict[int, Status]:
        """Return the status of every version seen so far, or of one.

        Raises:
          ServingError: NOT_FOUND, or INVALID_ARGUMENT for an unknown label.
        """
        if label is not None:
            version = self._version_of_label(label)
        if version is None:
            return dict(sorted(self._statuses.items()))
        if version not in self._statuses:
            raise ServingError(
                Code.NOT_FOUND, f"Could not find version {version} of model {self.name}"
            )
        return {version: self._statuses[version]}

    async def close(self) -> None:
        """Unload all versions."""
        for version in list(self._loaded):
            await self._unload(version)

    def _lookup(self, version: int | None, label: str | None) -> Servable:
        if label is not None:
            version = self._version_of_label(label)
        if self._loaded:
            servable = self._loaded.get(max(self._loaded) if version is None else version)
            if servable is not None:
                return servable
        raise not_found(self.name, version)

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
        most = policy.num_versions()
        available: set[int] = set()
        for version in sorted(candidates, reverse=True):
            if len(available) == most:
                break
            if await self._ensure(version, found[version]):
                available.add(version)
        for version in labelled & found.keys() - available:
            if await self._ensure(version, found[version]):
                available.add(version)
        return available

    async def _ensure(self, version: int, found: VersionDirectory) -> bool:
        """Load a version unless it is loaded; return whether it is available."""
        if version in self._loaded:
            return True
        failed = self._failed.get(version)
        if failed and failed.fingerprint != found.fingerprint:
            failed = None
        if failed and time.monotonic() < failed.retry_at:
            return False
        started = time.monotonic()
        if not failed:
            self._statuses[version] = Status(State.LOADING)
            self._log.info("loading", model=self.name, version=version)
        try:
            servable = await asyncio.to_thread(self._load, found.path, self.name, version)
        except ServingError as error:
            self._fail(version, found, failed, error)
            return False
        self._failed.pop(version, None)
        self._loaded[version] = servable
        self._statuses[version] = Status(State.AVAILABLE)
        self._metrics.loads.add(self.name, Code.OK.name)
        seconds = round(time.monotonic() - started, 3)
        self._log.info("available", model=self.name, version=version, seconds=seconds)
        return True

    def _fail(
        self, version: int, found: VersionDirectory, before: _Failure | None, error: ServingError
    ) -> None:
        """Schedule the next attempt, and log an error that is not the same as before."""
        attempts = before.attempts + 1 if before else 1
        seconds = min(MAX_RETRY_SECONDS, RETRY_SECONDS * 2 ** min(attempts - 1, 10))
        self._failed[version] = _Failure(
            found.fingerprint, error.message, attempts, time.monotonic() + seconds
        )
        self._statuses[version] = Status(State.END, error)
        self._metrics.loads.add(self.name, error.code.name)
        if not before or before.message != error.message:
            self._log.error(
                "load_failed",
                model=self.name,
                version=version,
                code=error.code.name,
                error=error.message,
                retry=f"until it loads, {MAX_RETRY_SECONDS:g} s apart at most, without a line each",
            )

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


def not_found(name: str, version: int | None) -> ServingError:
    """Create the error of a request for a version that is not loaded."""
    request = f"Latest({name})" if version is None else f"Specific({name}, {version})"
    return ServingError(Code.NOT_FOUND, f"Servable not found for request: {request}")


def _collect_garbage() -> None:
    """Free unloaded versions, which `gc.freeze` excludes from garbage collection."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
