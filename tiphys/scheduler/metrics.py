"""The scheduler's metrics, under kube-scheduler's names.

Source: Kubernetes docs, "Kubernetes Metrics Reference", scheduler.
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_SECONDS = tuple(0.001 * 2**n for n in range(15))
_POD_SECONDS = tuple(0.01 * 2**n for n in range(20))
_ATTEMPTS = (1, 2, 4, 8, 16)
#: More attempts than this are told as this many.
_ATTEMPTS_TOLD = 16


class Metrics:
    """One set per scheduler, so that several may live in one process."""

    def __init__(self, pending: Callable[[], Mapping[str, int]]) -> None:
        self.registry = CollectorRegistry()
        self._attempts = Counter(
            "scheduler_schedule_attempts",
            "Number of attempts to schedule pods, by the result.",
            ("result", "profile"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "scheduler_scheduling_attempt_duration_seconds",
            "Scheduling attempt latency in seconds.",
            ("result", "profile"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._pod_attempts = Histogram(
            "scheduler_pod_scheduling_attempts",
            "Number of attempts to successfully schedule a pod.",
            buckets=_ATTEMPTS,
            registry=self.registry,
        )
        self._pod_seconds = Histogram(
            "scheduler_pod_scheduling_sli_duration_seconds",
            "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue.",
            ("attempts",),
            buckets=_POD_SECONDS,
            registry=self.registry,
        )
        self._incoming = Counter(
            "scheduler_queue_incoming_pods",
            "Number of pods added to scheduling queues by event and queue type.",
            ("queue", "event"),
            registry=self.registry,
        )
        self._preemptions = Counter(
            "scheduler_preemption_attempts", "Total preemption attempts in the cluster till now", registry=self.registry
        )
        self._victims = Histogram(
            "scheduler_preemption_victims",
            "Number of selected preemption victims",
            buckets=tuple(2**n for n in range(7)),
            registry=self.registry,
        )
        self._arrivals = self._incoming.labels("active", "PodAdd")
        self.registry.register(_Pending(pending))

    def attempted(self, profile: str, result: str, seconds: float) -> None:
        self._attempts.labels(result, profile).inc()
        self._seconds.labels(result, profile).observe(seconds)

    def bound(self, attempts: int, seconds: float) -> None:
        """A Pod has its node, ``seconds`` after it was first seen."""
        self._pod_attempts.observe(attempts)
        self._pod_seconds.labels(str(min(attempts, _ATTEMPTS_TOLD))).observe(seconds)

    def arrived(self) -> None:
        """A Pod that wants a node was seen for the first time."""
        self._arrivals.inc()

    def preempted(self, victims: int) -> None:
        self._preemptions.inc()
        self._victims.observe(victims)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)


class _Pending(Collector):
    def __init__(self, pending: Callable[[], Mapping[str, int]]) -> None:
        self._pending = pending

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "scheduler_pending_pods", "Number of pending pods, by the queue type.", labels=("queue",)
        )
        for queue, number in self._pending().items():
            family.add_metric((queue,), number)
        yield family
