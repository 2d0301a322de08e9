"""Name
    resource-claim - makes claims of devices from Pods' templates and frees what nobody uses

Watches
    Pods, ResourceClaims, ResourceClaimTemplates

Writes
    ResourceClaims (owned by their Pod), their status and finalizers; resourceClaimStatuses of Pods

Emits
    FailedResourceClaimCreation

Files
    desired.py (which claims a Pod needs, who still uses a claim), controller.py

Source
    Kubernetes docs, "Dynamic Resource Allocation"; KEP-4381
"""
