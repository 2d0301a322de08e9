"""Name
    daemonset - keeps one Pod on each node that a DaemonSet is for

Watches
    DaemonSets, Pods, Nodes, ControllerRevisions

Writes
    Pods (create, delete, owner references), ControllerRevisions, DaemonSet status

Emits
    SuccessfulCreate, SuccessfulDelete, FailedCreate, FailedDelete, FailedDaemonPod, SucceededDaemonPod,
    SelectingAll on the DaemonSet

Files
    desired.py (nodes, Pods, what is too much or missing), rolling.py (which Pods make way for the new
    template), status.py, controller.py

Source
    Kubernetes docs, "DaemonSet", "Perform a Rolling Update on a DaemonSet"; KEP-1591 DaemonSets should
    support MaxSurge to improve workload availability
"""
