"""Name
    horizontalpodautoscaler - sizes a workload by what its Pods use, or by other metrics

Watches
    HorizontalPodAutoscalers, Pods; every 15 seconds the metrics APIs (resource, custom, external)

Writes
    scale of the target, HorizontalPodAutoscaler status

Emits
    SuccessfulRescale, FailedRescale, FailedGetScale, FailedComputeMetricsReplicas, FailedGetResourceMetric and
    its kin on the autoscaler

Files
    replicas.py (from samples to a size), behavior.py (how fast, and against flapping), metrics.py (the metrics
    APIs), evaluation.py (one metric of a spec), controller.py

Source
    Kubernetes docs, "Horizontal Pod Autoscaling"; KEP-853 Configurable HPA scale velocity
"""
