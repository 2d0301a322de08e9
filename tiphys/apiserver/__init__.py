"""The API server.

Name: apiserver
Reads and writes: the store; nothing else keeps objects.
Serves: the Kubernetes API over HTTPS, and in process (``ApiServer.handle``).
Source: Kubernetes docs, "Kubernetes API Concepts".

Modules stand in the order in which a request travels: ``server`` → ``handler``
→ ``requestinfo`` → authentication and authorization (``seams``) →
``negotiation``, ``decoding`` → ``registry`` → ``cache``, ``watch`` → ``shapes``.
"""

from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.loop import ApiServer

__all__ = ["ApiServer", "ApiServerConfig"]
