"""Name
    attachdetach - asks for CSI volumes to be attached to the nodes of the Pods that use them, and detached after

Watches
    Pods, PersistentVolumeClaims, PersistentVolumes, VolumeAttachments, CSIDrivers, Nodes

Writes
    VolumeAttachments, which drivers' attachers carry out; status.volumesAttached of Nodes

Emits
    SuccessfulAttachVolume, FailedAttachVolume on Pods

Files
    desired.py (which attachments should be), controller.py

Source
    Kubernetes docs, "Persistent Volumes", "CSI Volume Cloning" and the CSI design; VolumeAttachment API reference
"""
