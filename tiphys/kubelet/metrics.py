"""What the kubelet counts, in Prometheus' text format and under Kubernetes' names."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

REGISTRY = CollectorRegistry()
RUNNING_PODS = Gauge("kubelet_running_pods", "Number of pods that have a running pod sandbox", registry=REGISTRY)
START_SECONDS = Histogram(
    "kubelet_pod_start_duration_seconds",
    "Seconds from the kubelet seeing a pod for the first time to its containers running",
    buckets=(0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
    registry=REGISTRY,
)
FAILURES = Counter("kubelet_instruction_failures", "Instructions that failed unexpectedly", registry=REGISTRY)


def rendered() -> bytes:
    return generate_latest(REGISTRY)
