"""Counts of what an optimised HLO module launches on a device."""

import re
from typing import NamedTuple

# Instructions that compute nothing on the device: values are named, not moved.
_FREE = frozenset(
    "parameter constant tuple get-tuple-element bitcast after-all partition-id replica-id "
    "while conditional call add-dependency opt-barrier".split()
)
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) (?:\([^\n]*\) -> [^\n]* )?\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = (?:\([^\n]*?\)|\S+) ([a-z][\w\-]*)\(")
_CALLED = re.compile(
    r"(body|condition|to_apply|true_computation|false_computation|branch_computations|calls|"
    r"called_computations)=(\{[^}]*\}|%?[\w.\-]+)"
)
_TRIPS = re.compile(r'known_trip_count"?:\{"?n"?:"?(\d+)')


class Launches(NamedTuple):
    """Instructions of a module that a device executes one by one.

    Attributes:
      module: Instructions of a whole execution, those of a loop's body once for
        each iteration; a conditional's most expensive branch counts.
      loops: For each loop the instructions of an iteration and the iterations; 0
        where the compiler does not know them, and the condition is executed too.
    """

    module: int
    loops: list[tuple[int, int]]


def count_launches(text: str) -> Launches:
    """Count the instructions that a device executes, each a kernel or a library call.

    Fusions count as one. On a GPU this is the number of launches, unless loops
    and command buffers execute there as a whole.

    Args:
      text: An optimised module as text.
    """
    bodies: dict[str, list[str]] = {}
    entry, lines = "", []
    for line in text.splitlines():
        started = _COMPUTATION.match(line)
        if started:
            lines = bodies.setdefault(started[2], [])
            entry = started[2] if started[1] else entry
        else:
            lines.append(line)
    loops: list[tuple[int, int]] = []

    def cost(name: str) -> int:
        total = 0
        for line in bodies.get(name, []):
            found = _INSTRUCTION.match(line)
            if not found:
                continue
            kind = found[1]
            called = {role: re.findall(r"[\w.\-]+", names) for role, names in _CALLED.findall(line)}
            if kind == "while":
                known = _TRIPS.search(line)
                trips = int(known[1]) if known else 0
                once = cost(called["body"][0]) + (0 if known else cost(called["condition"][0]))
                loops.append((once, trips))
                total += once * max(trips, 1)
            elif kind == "conditional":
                total += max(cost(name) for names in called.values() for name in names)
            elif kind in ("call", "async-start"):
                total += sum(cost(name) for names in called.values() for name in names)
            elif kind not in _FREE:
                total += 1
        return total

    return Launches(cost(entry), loops)
