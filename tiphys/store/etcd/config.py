"""How an etcd cluster is reached."""

from dataclasses import dataclass

# Source: kube-apiserver's etcd client, "dialTimeout"; etcd answers or gives up within 7 s by itself.
CONNECT_SECONDS = 20.0
REQUEST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class EtcdConfig:
    """Members and the files (PEM) that prove who is who; ``prefix`` replaces ``/registry`` in front of all keys."""

    #: ``http://host:port`` or ``https://host:port``, all of one scheme; the first that answers is used.
    servers: tuple[str, ...]
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    prefix: str = "/registry"
    connect_seconds: float = CONNECT_SECONDS
    request_seconds: float = REQUEST_SECONDS
