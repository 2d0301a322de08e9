"""Name
    nodeipam - gives each node its range of Pod addresses

Watches
    Nodes

Writes
    Node spec.podCIDR and spec.podCIDRs

Emits
    CIDRNotAvailable on the Node

Files
    ranges.py (which range is free), controller.py

Source
    kube-controller-manager reference, --allocate-node-cidrs, --cluster-cidr, --node-cidr-mask-size
"""
