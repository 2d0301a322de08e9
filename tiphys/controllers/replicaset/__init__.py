"""Name
    replicaset - keeps as many Pods as a ReplicaSet asks for

Watches
    ReplicaSets, Pods

Writes
    Pods (create, delete, owner references), ReplicaSet status

Emits
    SuccessfulCreate, SuccessfulDelete, FailedCreate, FailedDelete on the ReplicaSet

Files
    desired.py (how many more or fewer, which ones first), status.py, controller.py

Source
    Kubernetes docs, "ReplicaSet"; KEP-2185 random Pod selection on scale-down; KEP-2255 Pod deletion cost
"""
