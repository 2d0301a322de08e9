"""Nodes that are simulated: to the API they are kubelets; below it there is nothing but time.

Read in this order:

- ``behaviour``, ``probes``: what a container does, and when its probes turn (pure)
- ``simulations``, ``definition``: which Simulation speaks of whom (pure), and their kind
- ``pod``: the real kubelet's brain over containers that are only timers; ``objects`` is what it reads
- ``node``, ``nodes``: one node, and all of a process; ``allowance`` bounds their Events
- ``logs``, ``metrics``: what containers wrote and use, computed when somebody asks
- ``serving``: every node's kubelet, and the resource metrics API
- ``setup``, ``loop``: what is put into the cluster, and the component

Used by ``tiphys up --simulate`` and by the cluster inside a test (``tiphys.testing``).
"""
