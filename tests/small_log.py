"""A small log of 200 sessions over five days, each a walk around 20 items, and ways to spoil it."""

import random

import pyarrow as pa
import pyarrow.compute as pc

START, EVERY = 1_700_000_000, 2160  # seconds
FLAGS = (
    *("--dataset", "custom", "--session", "session", "--time", "time", "--item", "item"),
    *("--time_format", "seconds", "--min_item_count", "1"),
)


def rows(rename=lambda session, row, item: item):
    """Return rows (session, seconds, item).

    Args:
        rename: From the number of the session, that of the row from 1 and an item to its id.
    """
    chance = random.Random(0)
    found = []
    for session in range(200):
        time, item = START + session * EVERY, chance.randrange(20)
        for _ in range(chance.randint(2, 6)):
            found.append((f"s{session}", time, rename(session, len(found) + 1, f"i{item}")))
            item = (item + chance.choice([1, 1, 1, 2, 5])) % 20
            time += chance.randint(5, 60)
    return found


def table(found):
    """Return rows as the table of clicks that the protocol takes."""
    sessions, times, items = zip(*found, strict=True)
    times = pa.array(times, pa.int64())
    times = pc.multiply(times, 1_000_000)
    return pa.table({"session": pa.array(sessions), "time": times, "item": pa.array(items)})


def write(path, found):
    """Write rows as CSV with a header; return the path."""
    lines = [",".join(map(str, row)) for row in [("session", "time", "item"), *found]]
    path.write_text("\n".join([*lines, ""]))
    return path


def new_since(number):
    """Give all items new ids from a session on."""
    return lambda session, row, item: f"new-{item}" if session >= number else item


def new_every_second_click(session, row, item):
    """Give every second click of the test part an item that train lacks."""
    return f"new-{item}" if session >= 160 and row % 2 == 0 else item
