"""Nodes that are simulated: to the API they are kubelets; below it there is nothing but time.

Read in this order:

- ``behaviour``, ``probes``: what a container does, and when its probes turn (pure)
- ``pod``: the real kubelet's brain over containers that are only timers; ``objects`` is what it reads
- ``node``, ``nodes``: one node, and all of a process

Used by ``tiphys up --simulate`` and by the cluster inside a test (``tiphys.testing``).
"""
