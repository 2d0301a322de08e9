"""Certificates of a cluster, and the kubeconfig context that people use."""

from pathlib import Path

from tiphys.apiserver import kubeconfig, pki
from tiphys.base.clock import RealClock
from tiphys.cli import addresses
from tiphys.cli.cluster import DEFAULT_NAME, Cluster, ClusterConfig
from tiphys.cli.errors import UserError
from tiphys.client import Client, HttpTransport
from tiphys.client.transport import CONNECTIONS


def ensure(cluster: Cluster, config: ClusterConfig) -> None:
    """Make what is missing or about to expire; keep the rest."""
    host = addresses.host_address(config)
    options = pki.PkiOptions(
        node_name=config.node_name,
        service_cidr=config.service_range,
        cluster_domain=config.cluster_domain,
        extra=(host, addresses.bridge_address(config)),
        node_addresses=(host, addresses.bridge_address(config)),
    )
    try:
        pki.ensure(cluster.pki, options)
    except OSError as error:
        raise UserError(f"certificates cannot be written: {error}") from error


def context_name(cluster: Cluster) -> str:
    """The kubeconfig context: the cluster's name, marked as ours where it does not say so itself."""
    return cluster.name if cluster.name == DEFAULT_NAME else f"{DEFAULT_NAME}-{cluster.name}"


def server_url(config: ClusterConfig) -> str:
    return f"https://127.0.0.1:{config.port}"


def write_kubeconfig(cluster: Cluster, config: ClusterConfig, target: Path) -> None:
    files = pki.Pki(cluster.pki)
    access = kubeconfig.Access.of(server_url(config), files.ca, files.admin)
    try:
        kubeconfig.merge(target, context_name(cluster), access)
    except (kubeconfig.KubeconfigError, OSError) as error:
        raise UserError(f"kubeconfig {target}: {error}") from error


def remove_context(cluster: Cluster, target: Path) -> None:
    try:
        kubeconfig.remove(target, context_name(cluster))
    except (kubeconfig.KubeconfigError, OSError) as error:
        raise UserError(f'the cluster is gone, but not its context "{context_name(cluster)}": {error}') from error


def client(
    cluster: Cluster, config: ClusterConfig, identity: str, user_agent: str, connections: int = CONNECTIONS
) -> Client:
    """A client as one of the cluster's identities: ``admin``, ``controllers``, ``scheduler``, …"""
    files = pki.Pki(cluster.pki)
    pair = files.pair(identity)
    transport = HttpTransport(server_url(config), ca=files.ca, cert=pair.cert, key=pair.key, connections=connections)
    # What stands before the slash becomes the manager of the fields that the component writes.
    return Client(transport, user_agent=f"{user_agent}/tiphys", clock=RealClock())
