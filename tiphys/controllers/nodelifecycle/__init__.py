"""Name
    nodelifecycle - notices nodes that have gone silent, and taints nodes by their conditions

Watches
    Nodes, Leases of kube-node-lease, Pods

Writes
    Node status (conditions become Unknown) and taints; Pod status (Ready becomes False)

Emits
    RegisteredNode, RemovingNode, NodeNotReady on the Node; NodeNotReady on its Pods

Files
    desired.py (conditions and taints), zones.py (how fast nodes may be emptied), controller.py

Source
    Kubernetes docs, "Nodes", node controller; "Taints and Tolerations", taint based evictions
"""
