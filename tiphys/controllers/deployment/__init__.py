"""Name
    deployment - moves an application from one Pod template to the next by scaling ReplicaSets

Watches
    Deployments, ReplicaSets; deletions of Pods (Recreate waits for the last)

Writes
    ReplicaSets (create, scale, annotate, adopt, delete old ones), Deployment status and its revision annotation

Emits
    ScalingReplicaSet, ReplicaSetCreateError, SelectingAll on the Deployment

Files
    annotations.py  revision, its history, and the sizes a ReplicaSet was made for
    desired.py      which ReplicaSet is the new one, and what it looks like
    scaling.py      proportional scaling, and sizes of a Deployment as a whole
    rolling.py      one step of a rolling update
    history.py      which old ReplicaSets go
    status.py       counts, and conditions of availability and progress
    controller.py   wiring

Source
    Kubernetes docs, "Deployments"
"""
