"""When a probe is tried and what its results add up to. Pure.

Source: Kubernetes docs, "Configure Liveness, Readiness and Startup Probes".
"""

import math
from dataclasses import dataclass

from tiphys.api import core_v1
from tiphys.kubelet.protocol import ProbeKind

#: Seconds after the container's start (and its initial delay) at which a readiness or startup probe that has not
#: passed is tried besides its period. Kubernetes' kubelet probes anew whenever it looks at a Pod that is not yet
#: ready, and that it does several times while the Pod starts; a server is ready some milliseconds after its
#: process. A failure here is not counted and not told: it says only that it is too early.
EAGER_SECONDS = (0.0, 0.02, 0.05, 0.1, 0.18, 0.3, 0.5, 0.75)


@dataclass(slots=True)
class ProbeRun:
    """The verdict of one probe of one container."""

    kind: ProbeKind
    failure_threshold: int
    success_threshold: int
    #: None for a startup probe that has neither passed nor failed.
    passing: bool | None
    _last: bool | None = None
    _run: int = 0

    @classmethod
    def of(cls, kind: ProbeKind, probe: core_v1.Probe, passing: bool) -> "ProbeRun":
        start = None if kind == "startup" and not passing else passing
        return cls(kind, probe.failureThreshold or 3, probe.successThreshold or 1, start)

    def note(self, success: bool) -> bool | None:
        """The new verdict if this result turns it, else None."""
        if self._last == success:
            self._run += 1
        else:
            self._last, self._run = success, 1
        threshold = self.success_threshold if success else self.failure_threshold
        if self._run < threshold or self.passing == success:
            return None
        self.passing = success
        return success

    @property
    def over(self) -> bool:
        """Whether nothing more is to be learnt of this container: it has failed and will be replaced."""
        return self.kind != "readiness" and self.passing is False


def period_seconds(probe: core_v1.Probe) -> float:
    return float(probe.periodSeconds or 10)


def first_counted_seconds(kind: ProbeKind, probe: core_v1.Probe) -> float:
    """When after the container's start a failure counts for the first time.

    Kubernetes' probes tick with their period from the time the Pod was seen, so a
    container has one period to come up before a liveness or startup probe can fail,
    and more if the initial delay ends between two ticks. Readiness is looked at
    besides, about a second after the start.
    """
    delay, period = float(probe.initialDelaySeconds or 0), period_seconds(probe)
    if kind == "readiness":
        return delay + 1.0
    return max(1, math.ceil(delay / period)) * period


def timeout_seconds(probe: core_v1.Probe) -> float:
    return float(probe.timeoutSeconds or 1)


def port_number(port: int | str | None, container: core_v1.Container | core_v1.EphemeralContainer) -> int:
    """A port by number or by the container's name for it. Raises ValueError."""
    if isinstance(port, int):
        return port
    found = next((p.containerPort for p in container.ports or () if p.name == port), None)
    if found is None and port and port.isdigit():
        found = int(port)
    if found is None or not 0 < found < 65536:
        raise ValueError(f"couldn't find port: {port}" if found is None else f"invalid port number: {found}")
    return int(found)
