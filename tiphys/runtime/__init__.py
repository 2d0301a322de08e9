"""The container runtime of a node: CRI in, containers out.

Name      tiphys' runtime
Serves    CRI v1 (RuntimeService, ImageService) and ``tiphys.v1.Images`` on a unix socket
Reads     image archives, registries
Writes    images, sandboxes and containers below its data directory; namespaces, mounts, control groups
Source    CRI; OCI Image, Runtime and Distribution Specifications

Reading order: ``plan.py`` (what a container is made of; pure), ``sandboxes.py``, ``containers.py``,
``service.py`` (CRI), ``streaming.py`` (exec, attach, port-forward), ``images/``, ``spawner/`` (the process that
owns the containers), ``linux/`` (the kernel). Nothing is imported here: the spawner must stay small.
"""
