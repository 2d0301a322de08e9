"""Name
    persistentvolumeclaim-protection, persistentvolume-protection - keep claims and volumes until nobody uses them

Watches
    PersistentVolumeClaims, PersistentVolumes, Pods

Writes
    the finalizers kubernetes.io/pvc-protection and kubernetes.io/pv-protection

Files
    desired.py (who is in use), controller.py (one controller for each)

Source
    Kubernetes docs, "Persistent Volumes", "Storage Object in Use Protection"
"""
