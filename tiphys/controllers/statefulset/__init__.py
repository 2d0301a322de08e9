"""Name
    statefulset - keeps numbered Pods, each with its own name and claims, in order

Watches
    StatefulSets, Pods, PersistentVolumeClaims, ControllerRevisions

Writes
    Pods (create, update, delete, owner references), PersistentVolumeClaims (create, owner references),
    ControllerRevisions, StatefulSet status

Emits
    SuccessfulCreate, SuccessfulUpdate, SuccessfulDelete, FailedCreate, FailedUpdate, FailedDelete on the StatefulSet

Files
    desired.py (what to do next, in which order), identity.py (names, labels and volumes of the Pods),
    claims.py (claims and who owns them), status.py, controller.py

Source
    Kubernetes docs, "StatefulSets"; KEP-961 maxUnavailable for StatefulSet; KEP-1847 Auto delete PVCs
    created by StatefulSet; KEP-3335 StatefulSet start ordinal
"""
