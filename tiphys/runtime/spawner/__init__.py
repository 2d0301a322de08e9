"""The process that owns all containers: small, single-threaded, standard library only.

It forks, unshares, mounts, pivots, drops privileges and executes; it holds the
containers' pipes, writes their logs and keeps their exit codes. Kubelet and
runtime may go and come back at any time without a container noticing.

Reading order: ``server.py`` (requests and events), ``processes.py`` (what runs),
``logs.py``, and in the child ``setup.py`` (a container's inside), ``sandbox.py``.
"""
