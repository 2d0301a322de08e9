"""Name
    replicationcontroller - keeps as many Pods as a ReplicationController asks for

Watches
    ReplicationControllers, Pods

Writes
    Pods (create, delete, owner references), ReplicationController status

Emits
    SuccessfulCreate, SuccessfulDelete, FailedCreate, FailedDelete on the ReplicationController

Files
    conversion.py (a ReplicationController as a ReplicaSet and back), controller.py; all else is the
    ReplicaSet controller's

Source
    Kubernetes docs, "ReplicationController"
"""
