"""Name
    resourcequota - counts what the objects of a namespace use of its quotas

Watches
    ResourceQuotas, Pods, Services, PersistentVolumeClaims, and by name only all other namespaced resources

Writes
    ResourceQuota status

Files
    desired.py (the sum), controller.py; what one object costs is in ``tiphys/resources/quota.py``, which the
    admission plugin shares

Source
    Kubernetes docs, "Resource Quotas"
"""
