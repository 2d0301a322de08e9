"""Name
    ephemeral-volume - makes the claims of Pods' generic ephemeral volumes

Watches
    Pods, PersistentVolumeClaims

Writes
    PersistentVolumeClaims, owned by their Pod and hence collected with it

Emits
    FailedBinding

Files
    desired.py (the claim of a volume), controller.py

Source
    Kubernetes docs, "Ephemeral Volumes", "Generic ephemeral volumes"; KEP-1698
"""
