"""What is counted, and how Prometheus reads it: plain lists, text only when somebody asks.

Source: Prometheus docs, "Exposition formats".
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence


class Histogram:
    """Counts per bucket, not summed up yet."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str, labels: str) -> Iterator[str]:
        total = 0
        before = f"{labels}," if labels else ""
        for bound, count in zip((*self.bounds, None), self.counts, strict=True):
            total += count
            edge = "+Inf" if bound is None else f"{bound:g}"
            yield f'{name}_bucket{{{before}le="{edge}"}} {total}'
        braces = f"{{{labels}}}" if labels else ""
        yield f"{name}_sum{braces} {self.sum:.9g}"
        yield f"{name}_count{braces} {total}"

    @property
    def total(self) -> int:
        return sum(self.counts)


def head(name: str, kind: str, help_: str) -> Iterator[str]:
    """The two lines that stand before a metric's values."""
    yield f"# HELP {name} {help_}"
    yield f"# TYPE {name} {kind}"


def labelled(pairs: Mapping[str, str]) -> str:
    """Labels, sorted by name as Go writes them, without the braces."""
    return ",".join(f'{name}="{escaped(value)}"' for name, value in sorted(pairs.items()))


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
