"""Name
    disruption - says how many Pods of a budget may be evicted now

Watches
    PodDisruptionBudgets, Pods, Deployments, ReplicaSets, ReplicationControllers, StatefulSets

Writes
    PodDisruptionBudget status

Emits
    NoPods, NoControllers, UnmanagedPods, CalculateExpectedPodCountFailed on the budget; NotDeleted on Pods

Files
    desired.py (counts and the status that follows), controller.py

Source
    Kubernetes docs, "Specifying a Disruption Budget for your Application"; KEP-85 PodDisruptionBudget graduation
"""
