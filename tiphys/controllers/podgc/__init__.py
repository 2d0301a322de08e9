"""Name
    podgc - removes Pods that nobody else will: of nodes that are gone, and the oldest finished ones

Watches
    Pods, Nodes

Writes
    Pods (phase Failed and condition DisruptionTarget, delete)

Emits
    nothing

Files
    desired.py (which of the finished Pods), controller.py

Source
    Kubernetes docs, "Pod Lifecycle", garbage collection of Pods
"""
