"""Sets of completion indexes and their text form: ``1,3-5,7``. Pure."""

from collections.abc import Iterable

from tiphys.api import core_v1

INDEX = "batch.kubernetes.io/job-completion-index"


def parse(text: str | None, completions: int) -> frozenset[int]:
    """The indexes below ``completions`` that ``text`` names; what is malformed names nothing more."""
    found: set[int] = set()
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            break
        start, end = int(first), int(last or first)
        if start >= completions:
            break
        found.update(range(start, min(end, completions - 1) + 1))
    return frozenset(found)


def text(indexes: Iterable[int]) -> str:
    """Runs of three and more are written as ranges, two neighbours are too small for one."""
    parts: list[str] = []
    run: list[int] = []
    for index in [*sorted(indexes), -1]:
        if run and index == run[-1] + 1:
            run = [run[0], index]
            continue
        if run:
            parts.append(_run(run[0], run[-1]))
        run = [index]
    return ",".join(parts)


def _run(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"


def index_of(pod: core_v1.Pod) -> int | None:
    """The Pod's completion index; None if it has none that can be read."""
    found = pod.metadata.annotations.get(INDEX, "")
    return int(found) if found.isascii() and found.isdigit() else None


def valid_index(pod: core_v1.Pod, completions: int) -> int | None:
    """The Pod's completion index if it is one of the Job's."""
    index = index_of(pod)
    return index if index is not None and index < completions else None


def first_missing(taken: frozenset[int], count: int, completions: int) -> list[int]:
    """The lowest ``count`` indexes below ``completions`` that are not ``taken``."""
    found: list[int] = []
    for index in range(completions):
        if len(found) >= count:
            break
        if index not in taken:
            found.append(index)
    return found
