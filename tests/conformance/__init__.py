"""Entries of Kubernetes' conformance list, one test each: the docstring begins with the entry's name.

Driven through the real API server in memory, with controllers, scheduler and simulated nodes where an entry needs
them. What containers themselves do is in ``tests/kubelet`` and ``tests/acceptance``. The table of all entries is
``docs/conformance.md``.
"""
