"""Name
    persistentvolume-binder - binds claims to volumes, asks for new volumes, and sees to volumes left behind

Watches
    PersistentVolumeClaims, PersistentVolumes, StorageClasses, Pods that wait for claims

Writes
    both sides of a binding and both phases; the provisioner's annotation; the default class of claims without one

Emits
    FailedBinding, VolumeMismatch, WaitForFirstConsumer, WaitForPodScheduled, ExternalProvisioning,
    ProvisioningFailed, ClaimLost, ClaimMisbound, VolumeFailedDelete, VolumeFailedRecycle

Files
    desired.py (what a claim and a volume need), controller.py

Source
    Kubernetes docs, "Persistent Volumes", "Storage Classes"
"""
