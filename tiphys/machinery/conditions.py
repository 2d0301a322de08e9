"""Lists of conditions, whatever the kind: found and set by ``type``."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

import msgspec

from tiphys.machinery import times


class AnyCondition(Protocol):
    type: str
    status: str


C = TypeVar("C", bound=AnyCondition)


def find_condition(conditions: Sequence[C] | None, type: str) -> C | None:
    return next((c for c in conditions or () if c.type == type), None)


def is_true(conditions: Sequence[C] | None, type: str) -> bool:
    condition = find_condition(conditions, type)
    return condition is not None and condition.status == "True"


def set_condition(conditions: Sequence[C] | None, condition: C, now: datetime) -> list[C]:
    """A new list that holds ``condition``; ``lastTransitionTime`` moves only where the status differs."""
    kept = list(conditions or ())
    old = find_condition(kept, condition.type)
    fields: Any = condition
    if old is not None and old.status == condition.status:
        moment = getattr(old, "lastTransitionTime", None)
    else:
        moment = fields.lastTransitionTime or times.format_time(now)
    new: Any = msgspec.structs.replace(fields, lastTransitionTime=moment)
    if old is None:
        return [*kept, new]
    return [new if c is old else c for c in kept]


def remove_condition(conditions: Sequence[C] | None, type: str) -> list[C]:
    return [c for c in conditions or () if c.type != type]
