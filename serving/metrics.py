"""Counters in Prometheus' text format, under TensorFlow Serving's names.

The official client library appends `_total` to the name of every counter, but
dashboards for TensorFlow Serving need its exact names.
"""

import bisect
from collections.abc import Iterator

# Microseconds, as in TensorFlow Serving: 10 times powers of 1.8, 33 buckets.
LATENCY_BOUNDS = tuple(10 * 1.8**power for power in range(33))
SIZE_BOUNDS = tuple(float(2**power) for power in range(11))
CONTENT_TYPE = "text/plain; version=0.0.4"

Labels = tuple[str, ...]


class Counter:
    """A count for each combination of label values."""

    kind = "counter"

    def __init__(self, name: str, help: str, labels: Labels) -> None:
        self.name = name
        self.help = help
        self.labels = labels
        self._values: dict[Labels, int] = {}

    def add(self, *values: str) -> None:
        """Increment the count of a combination of label values."""
        self._values[values] = self._values.get(values, 0) + 1

    def lines(self) -> Iterator[str]:
        """Yield the lines of the text format."""
        for values, count in sorted(self._values.items()):
            yield f"{self.name}{_braces(self.labels, values)} {count}"


class Gauge:
    """A number that rises and falls."""

    kind = "gauge"

    def __init__(self, name: str, help: str) -> None:
        self.name = name
        self.help = help
        self.value = 0

    def lines(self) -> Iterator[str]:
        """Yield the line of the text format."""
        yield f"{self.name} {self.value}"


class Histogram:
    """A distribution for each combination of label values."""

    kind = "histogram"

    def __init__(self, name: str, help: str, labels: Labels, bounds: tuple[float, ...]) -> None:
        self.name = name
        self.help = help
        self.labels = labels
        self._bounds = bounds
        self._cells: dict[Labels, tuple[list[int], list[float]]] = {}

    def add(self, value: float, *values: str) -> None:
        """Count a value in its bucket."""
        cell = self._cells.get(values)
        if cell is None:
            cell = self._cells[values] = ([0] * (len(self._bounds) + 1), [0.0])
        counts, total = cell
        counts[bisect.bisect_left(self._bounds, value)] += 1
        total[0] += value

    def lines(self) -> Iterator[str]:
        """Yield the lines of the text format."""
        for values, (counts, total) in sorted(self._cells.items()):
            running = 0
            for bound, count in zip((*self._bounds, "+Inf"), counts, strict=True):
                running += count
                text = bound if isinstance(bound, str) else f"{bound:g}"
                labels = _braces((*self.labels, "le"), (*values, text))
                yield f"{self.name}_bucket{labels} {running}"
            labels = _braces(self.labels, values)
            yield f"{self.name}_sum{labels} {total[0]:g}"
            yield f"{self.name}_count{labels} {running}"


class Metrics:
    """The server's metrics. Latencies are in microseconds."""

    def __init__(self) -> None:
        prefix = ":tensorflow:serving:"
        self.requests = Counter(
            f"{prefix}request_count", "Requests by canonical status.", ("model_name", "status")
        )
        self.in_flight = Gauge(
            f"{prefix}requests_in_flight", "Requests that wait for TensorFlow or run."
        )
        self.request_latency = Histogram(
            f"{prefix}request_latency",
            "Microseconds from a complete request to its response.",
            ("model_name", "API", "entrypoint", "status"),
            LATENCY_BOUNDS,
        )
        self.runtime_latency = Histogram(
            f"{prefix}runtime_latency",
            "Microseconds in the TensorFlow runtime.",
            ("model_name", "API", "runtime"),
            LATENCY_BOUNDS,
        )
        self.queue_time = Histogram(
            f"{prefix}batching_session:queuing_latency",
            "Microseconds that a batch's first request waited.",
            ("model_name",),
            LATENCY_BOUNDS,
        )
        self.batch_size = Histogram(
            f"{prefix}batching_session:processed_batch_size",
            "Rows in a batch.",
            ("model_name",),
            SIZE_BOUNDS,
        )
        self.loads = Counter(
            ":tensorflow:cc:saved_model:load_attempt_count",
            "Versions that were loaded, by canonical status.",
            ("model_name", "status"),
        )

    def page(self) -> str:
        """Return all metrics in Prometheus' text format."""
        lines = []
        for metric in vars(self).values():
            lines.append(f"# HELP {metric.name} {metric.help}")
            lines.append(f"# TYPE {metric.name} {metric.kind}")
            lines.extend(metric.lines())
        return "\n".join(lines) + "\n"


def _braces(labels: Labels, values: Labels) -> str:
    pairs = (f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True))
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
