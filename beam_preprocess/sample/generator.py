"""Sampling of a click log from the process, written in the Yoochoose format."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from beam_preprocess.sample.process import Process, ProcessSettings, draw_process
from hln_tf.common import files
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.settings import checked, setting

CLICKS = "sample-clicks.dat"
GROUPS = "sample-groups.csv"
PROCESS = "sample-process.json"
FORMAT_VERSION = 1
NOISE = -1
CATEGORY = "0"
FIRST_DAY = np.datetime64("2014-04-01T00:00:00.000", "ms")
MILLISECONDS_PER_DAY = 86_400_000
SHORTEST_INTERVAL_MS = 1_000  # between two clicks
MEAN_INTERVAL_MS = 60_000


@dataclasses.dataclass(frozen=True)
class LogSettings:
    """The settings of a log sampled from a process."""

    output: str = setting("data/raw", "directory to write to")
    sessions: int = setting(20_000, "number of sessions", minimum=1)
    min_length: int = setting(3, "clicks of the shortest sessions", minimum=2)
    max_length: int = setting(15, "clicks of the longest sessions", minimum=2, maximum=1_000)
    length_decay: float = setting(
        0.92, "sessions of n + 1 clicks for each session of n clicks", above=0, maximum=1
    )
    days: int = setting(14, "days over which sessions start", minimum=2, maximum=3_650)

    def __post_init__(self) -> None:
        checked(self)
        if self.max_length < self.min_length:
            raise UsageError(
                f"`max_length` is {self.max_length}, expected at least `min_length`, "
                f"{self.min_length}"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Log:
    """Sessions of clicks, one after the other.

    Attributes:
      lengths: Clicks of each session [sessions].
      items: Item of each click, from 0 [clicks].
      groups: Group that the click was sampled from, `NOISE` for noise [clicks].
      times: Time of each click [clicks], `datetime64[ms]`.
    """

    lengths: np.ndarray
    items: np.ndarray
    groups: np.ndarray
    times: np.ndarray


def draw_log(process: Process, settings: LogSettings, seed: int) -> Log:
    """Sample a log; lengths and times are independent of the items."""
    rng = np.random.default_rng([seed, 1])
    lengths = draw_lengths(settings, rng)
    items, groups = draw_clicks(process, settings.sessions, settings.max_length, rng)
    starts = rng.integers(0, settings.days * MILLISECONDS_PER_DAY, settings.sessions)
    intervals = rng.exponential(MEAN_INTERVAL_MS, items.shape).astype(np.int64)
    intervals += SHORTEST_INTERVAL_MS
    intervals[:, 0] = starts
    times = FIRST_DAY + np.cumsum(intervals, axis=1).astype("timedelta64[ms]")
    mask = np.arange(settings.max_length) < lengths[:, None]
    return Log(lengths, items[mask], groups[mask], times[mask])


def draw_lengths(settings: LogSettings, rng: np.random.Generator) -> np.ndarray:
    """Sample session lengths, each `length_decay` times as likely as the one before."""
    lengths = np.arange(settings.min_length, settings.max_length + 1)
    weights = settings.length_decay ** (lengths - settings.min_length)
    return rng.choice(lengths, settings.sessions, p=weights / weights.sum())


def draw_clicks(
    process: Process, sessions: int, length: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Sample sessions of `length` clicks.

    Returns:
      Items and groups, both [sessions, length].
    """
    rows = np.arange(sessions)
    sizes = rng.choice(np.array(process.sizes), sessions)
    active = np.argsort(rng.random((sessions, process.groups)), axis=1)[:, : max(process.sizes)]
    positions = np.full(active.shape, -1)
    latest = np.full(sessions, -1)
    items = np.empty((sessions, length), np.int64)
    groups = np.empty((sessions, length), np.int64)
    for column in range(length):
        noisy = rng.random(sessions) < process.noise
        noise_items = draw_from(process.noise_items[None, :], rng.random(sessions))
        others = (latest + rng.integers(1, sizes)) % sizes
        leaving = rng.random(sessions) < process.switch
        slots = np.where(leaving, others, latest)
        slots = np.where(latest < 0, rng.integers(0, sizes), slots)
        chosen = active[rows, slots]
        first = draw_from(process.starts[chosen], rng.random(sessions))
        moved = positions[rows, slots] + 1 + draw_from(process.steps[None, :], rng.random(sessions))
        position = np.where(positions[rows, slots] < 0, first, moved % process.cycles.shape[1])
        items[:, column] = np.where(noisy, noise_items, process.cycles[chosen, position])
        groups[:, column] = np.where(noisy, NOISE, chosen)
        positions[rows, slots] = np.where(noisy, positions[rows, slots], position)
        latest = np.where(noisy, latest, slots)
    return items, groups


def draw_from(probabilities: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Sample one outcome per row by inverting its cumulative distribution.

    Args:
      probabilities: Distributions [rows or 1, outcomes].
      uniform: Random numbers, uniform in [0, 1) [rows].
    """
    bounds = np.cumsum(probabilities, axis=1)[:, :-1]
    if len(bounds) == 1:
        return np.searchsorted(bounds[0], uniform, side="right")
    return np.sum(bounds <= uniform[:, None], axis=1)


def generate(process_settings: ProcessSettings, log_settings: LogSettings) -> list[Path]:
    """Write the click log, its planted groups and the process, each atomically.

    The process is written last and includes the checksum of its log, so a process
    of an earlier run is never mistaken for that of a later log.

    Returns:
      The three files. Files of an earlier run are replaced; the same settings
      give the same bytes.
    """
    output = Path(log_settings.output)
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output} is a file, expected a directory")
    process = draw_process(process_settings)
    log = draw_log(process, log_settings, process_settings.seed)
    sessions = np.repeat(np.arange(1, len(log.lengths) + 1), log.lengths).tolist()
    ids = process.item_ids[log.items].tolist()
    times = np.datetime_as_string(log.times, unit="ms").tolist()
    positions = np.concatenate([np.arange(length) for length in log.lengths]).tolist()
    paths = [output / name for name in (CLICKS, GROUPS, PROCESS)]
    with files.atomic_write(paths[0]) as temporary, open(temporary, "w", newline="\n") as file:
        rows = zip(sessions, times, ids, strict=True)
        file.writelines(f"{session},{time}Z,{item},{CATEGORY}\n" for session, time, item in rows)
    with files.atomic_write(paths[1]) as temporary, open(temporary, "w", newline="\n") as file:
        file.write("session_id,position,item_id,group\n")
        planted = zip(sessions, positions, ids, log.groups.tolist(), strict=True)
        file.writelines(f"{','.join(map(str, row))}\n" for row in planted)
    settings = {**dataclasses.asdict(process_settings), **dataclasses.asdict(log_settings)}
    del settings["output"]
    content = {
        "format_version": FORMAT_VERSION,
        "settings": settings,
        "clicks": {"name": CLICKS, "sha256": files.sha256(paths[0])},
        "process": process.to_dict(),
    }
    with files.atomic_write(paths[2]) as temporary:
        temporary.write_text(json.dumps(content) + "\n", "utf-8")
    return paths


def read_process(raw_dir: str | Path) -> tuple[Process, str]:
    """Read the process of a generated log and the checksum of that log.

    Raises:
      HlnError: The file is missing, damaged or of another format version.
    """
    path = Path(raw_dir) / PROCESS
    remedy = f"run python -m beam_preprocess.sample generate --output {raw_dir} to write it"
    content = files.read_json(path, remedy)
    try:
        version, checksum = content["format_version"], content["clicks"]["sha256"]
        values = content["process"]
    except (KeyError, TypeError):
        raise HlnError(f"{path} does not define a process: {remedy}") from None
    if version != FORMAT_VERSION:
        raise HlnError(f"{path} has format version {version}, expected {FORMAT_VERSION}: {remedy}")
    return Process.from_dict(values, str(path)), str(checksum)
