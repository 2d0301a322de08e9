"""The API server on its store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tiphys.apiserver import ApiServer, ApiServerConfig, flags, pki, security
from tiphys.apiserver.config import StorageConfig
from tiphys.apiserver.run import serving
from tiphys.cli import addresses
from tiphys.cli.cluster import Cluster, ClusterConfig


@asynccontextmanager
async def run(cluster: Cluster, config: ClusterConfig) -> AsyncIterator[ApiServer]:
    async with serving(settings(cluster, config)) as api:
        yield api


def settings(cluster: Cluster, config: ClusterConfig) -> flags.Settings:
    """What this cluster's API server is told; raises FlagError for what ``--apiserver-arg`` cannot mean."""
    files = pki.Pki(cluster.pki)
    server = ApiServerConfig(
        host="0.0.0.0",
        port=config.port,
        certificate=str(files.apiserver.cert),
        private_key=str(files.apiserver.key),
        client_ca=str(files.ca),
        requestheader_client_ca=str(files.front_proxy_ca),
        service_cidr=config.service_range,
        cluster_domain=config.cluster_domain,
        # Twice the bytes of a small Pod in every list and watch, for what only server-side apply reads.
        managed_fields_in_lists=False,
    )
    own = flags.Settings(
        server,
        security.config_of(files, addresses.host_address(config)),
        StorageConfig(file=str(cluster.data / "store.db")),
    )
    return flags.parse(config.apiserver_args, own)
