"""Name
    local-path - a built-in provisioner: a claim's volume is a directory on the node of its first consumer

Watches
    PersistentVolumeClaims, PersistentVolumes, StorageClasses, Nodes

Writes
    PersistentVolumes of classes whose provisioner is tiphys.dev/local-path; deletes those left behind,
    once a Pod in kube-system on their node has removed the directory. The kubelet makes the directory.

Emits
    Provisioning, ProvisioningSucceeded, ProvisioningFailed

Files
    desired.py (the volume of a claim, when it goes), controller.py

Source
    Kubernetes docs, "Storage Classes", "Dynamic Volume Provisioning"
"""
