"""Which kind is described by whom."""

from collections.abc import Callable
from typing import Any

from tiphys.cli.describe import configuration, generic, nodes, pods, services, workloads
from tiphys.cli.describe.writer import Writer
from tiphys.cli.discovery import Kind
from tiphys.cli.server import Server

Describe = Callable[[Writer, Server, dict[str, Any]], None]

DESCRIBERS: dict[str, Describe] = {
    "configmaps": configuration.config_map,
    "deployments.apps": workloads.deployment,
    "namespaces": configuration.namespace,
    "nodes": nodes.node,
    "pods": pods.pod,
    "replicasets.apps": workloads.replica_set,
    "secrets": configuration.secret,
    "serviceaccounts": configuration.service_account,
    "services": services.service,
}


def describe(server: Server, kind: Kind, obj: dict[str, Any]) -> str:
    """``obj`` in words, with what is related to it."""
    w = Writer()
    whole = {"apiVersion": kind.api_version, "kind": kind.kind} | obj
    DESCRIBERS.get(kind.group_resource, generic.anything)(w, server, whole)
    return w.text()
