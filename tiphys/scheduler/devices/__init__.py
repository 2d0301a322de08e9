"""Devices for claims: which ones a node could give. Pure.

Read ``inventory``, ``selectors``, ``allocator``, ``results``.

Source: Kubernetes docs, "Dynamic Resource Allocation"; KEP-4381 (structured parameters), KEP-4816 (alternatives),
KEP-5018 (admin access), KEP-5055 (taints), KEP-4815 (shared counters).
"""
