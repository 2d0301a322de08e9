"""EventRateLimit: nobody floods the store with Events.

Source: Kubernetes docs, "Admission Control", EventRateLimit; "Event Rate Limit Configuration (v1alpha1)".
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, Self

from tiphys.apiserver.admission.plugin import Plugin, Tools
from tiphys.apiserver.seams import Attributes
from tiphys.base.clock import Clock
from tiphys.machinery import errors

CACHE_SIZE: Final = 4096
PARTS: Final = ("kind", "namespace", "name", "uid", "apiVersion")


def _source_and_object(attributes: Attributes, event: Any) -> str:
    source = getattr(event, "source", None) or getattr(event, "deprecatedSource", None)
    about = getattr(event, "involvedObject", None) or getattr(event, "regarding", None)
    where = (getattr(source, name, None) or "" for name in ("component", "host"))
    what = (getattr(about, name, None) or "" for name in PARTS)
    return "".join((*where, *what))


#: By what a limit counts: what tells its buckets apart.
KEYS: Final[Mapping[str, Callable[[Attributes, Any], str]]] = {
    "Server": lambda attributes, event: "",
    "Namespace": lambda attributes, event: attributes.namespace,
    "User": lambda attributes, event: attributes.user.name,
    "SourceAndObject": _source_and_object,
}


class Limit:
    """One limit: a bucket of tokens per key; the key that was not seen for longest is forgotten first."""

    def __init__(self, clock: Clock, type_: str, per_second: int, burst: int, size: int) -> None:
        self._clock = clock
        self._type = type_
        self._per_second = per_second
        self._burst = burst
        self._size = size
        #: Tokens that were left, and when.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def refusal(self, attributes: Attributes, event: Any) -> str:
        """Takes a token; what is to be said if there is none, else nothing."""
        key = KEYS[self._type](attributes, event)
        now = self._clock.monotonic()
        left, at = self._buckets.pop(key, (float(self._burst), now))
        left = min(float(self._burst), left + (now - at) * self._per_second)
        refused = left < 1
        self._buckets[key] = (left if refused else left - 1, now)
        if len(self._buckets) > self._size:
            self._buckets.popitem(last=False)
        return f"limit reached on type {self._type} for key {key}" if refused else ""


class EventRateLimit(Plugin):
    """Its configuration is required: ``limits`` with ``type``, ``qps``, ``burst`` and ``cacheSize`` each."""

    name: ClassVar = "EventRateLimit"
    operations: ClassVar = ("CREATE", "UPDATE")
    resources: ClassVar = ("events", "events.events.k8s.io")

    @classmethod
    def made(cls, tools: Tools) -> Self:
        found = (tools.configuration.get(cls.name) or {}).get("limits")
        if not found:
            raise ValueError("limits: Invalid value: []: must not be empty")
        return cls([_limit(tools.clock, index, one) for index, one in enumerate(found)])

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._limits = limits

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        # A dry run costs nothing.
        if attributes.dry_run:
            return
        # All limits are charged, as in Kubernetes, even if the first has said no.
        refused = [text for limit in self._limits if (text := limit.refusal(attributes, obj))]
        if refused:
            raise errors.TooManyRequests(f"Too many requests: {errors.aggregate(refused)}", 0)


def _limit(clock: Clock, index: int, given: Mapping[str, Any]) -> Limit:
    type_ = str(given.get("type") or "")
    if type_ not in KEYS:
        listed = ", ".join(f'"{name}"' for name in sorted(KEYS))
        raise ValueError(f'limits[{index}].type: Unsupported value: "{type_}": supported values: {listed}')
    for field in ("qps", "burst"):
        value = given.get(field) or 0
        if value <= 0:
            raise ValueError(f"limits[{index}].{field}: Invalid value: {value}: must be positive")
    return Limit(clock, type_, given["qps"], given["burst"], given.get("cacheSize") or CACHE_SIZE)
