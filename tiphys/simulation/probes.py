"""When a simulated probe's verdict turns. Pure.

A probe is tried at the real kubelet's times. A container whose probe passes and
will go on passing is left alone, so that an idle cluster costs nothing.
"""

import math
from dataclasses import dataclass

from tiphys.api import core_v1
from tiphys.kubelet import probes
from tiphys.kubelet.protocol import ProbeKind
from tiphys.simulation.behaviour import Behaviour


@dataclass(slots=True)
class SimulatedProbe:
    """One probe of one container; times are seconds since the container's start."""

    kind: ProbeKind
    probe: core_v1.Probe
    behaviour: Behaviour
    run: probes.ProbeRun

    def passes(self, at: float) -> bool:
        """What the container answers."""
        if self.kind == "liveness":
            return at < self.behaviour.unhealthy_after_seconds
        if self.kind == "startup":
            return at >= self.behaviour.ready_after_seconds
        return self.behaviour.ready_after_seconds <= at < self.behaviour.unready_after_seconds

    def first(self) -> float:
        """When it is tried first: early if it passes early, as the kubelet's eager attempts would find."""
        if self.kind != "liveness" and not self.run.passing:
            delay = float(self.probe.initialDelaySeconds or 0)
            for offset in probes.EAGER_SECONDS:
                if self.passes(delay + offset):
                    return delay + offset
        return self._worth_trying(probes.first_counted_seconds(self.kind, self.probe))

    def after(self, at: float) -> float | None:
        """When it is tried next after an attempt at ``at``; None if nothing will change any more."""
        if self.run.over or (self.kind == "startup" and self.run.passing):
            return None
        due = self._worth_trying(at + probes.period_seconds(self.probe))
        return due if math.isfinite(due) else None

    def _worth_trying(self, due: float) -> float:
        """``due``, or a later attempt if all before it would only confirm what is known."""
        if not (self.run.passing and self.passes(due)):
            return due
        change = self._next_change(due)
        if not math.isfinite(change):
            return change
        period = probes.period_seconds(self.probe)
        return due + max(0, math.ceil((change - due) / period)) * period

    def _next_change(self, at: float) -> float:
        known = self.behaviour
        limit = known.unhealthy_after_seconds if self.kind == "liveness" else known.unready_after_seconds
        return limit if limit > at else math.inf
