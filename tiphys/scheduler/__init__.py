"""Gives each Pod a node.

Name      kube-scheduler
Watches   pods, nodes, services, replicasets, replicationcontrollers, statefulsets
Writes    pods/binding, pods/status (condition PodScheduled)
Emits     Scheduled, FailedScheduling
Source    Kubernetes docs, "Scheduling Framework", "Scheduler configuration"

Reading order: ``nodes.py`` (nodes as numpy columns), ``pods.py`` (what of a Pod matters),
``plugins/`` (filters and scores, one row each in ``plugins/registry.py``), ``classes.py`` (Pods with
equal requirements share their results), ``cycle.py`` (one decision; pure), ``queue.py``, ``loop.py``.
"""
