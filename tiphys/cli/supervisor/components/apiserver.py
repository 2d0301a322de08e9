"""The API server on its store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tiphys.apiserver import ApiServer, ApiServerConfig, pki, security
from tiphys.base.clock import RealClock
from tiphys.base.ids import Ids
from tiphys.cli import addresses
from tiphys.cli.cluster import Cluster, ClusterConfig
from tiphys.store.compaction import Compactor
from tiphys.store.sqlite import SqliteStore


@asynccontextmanager
async def run(cluster: Cluster, config: ClusterConfig) -> AsyncIterator[ApiServer]:
    files = pki.Pki(cluster.pki)
    clock = RealClock()
    settings = ApiServerConfig(
        host="0.0.0.0",
        port=config.port,
        certificate=str(files.apiserver.cert),
        private_key=str(files.apiserver.key),
        client_ca=str(files.ca),
        service_cidr=config.service_range,
        cluster_domain=config.cluster_domain,
        # Twice the bytes of a small Pod in every list and watch, for what only server-side apply reads.
        managed_fields_from_creation=False,
    )
    seams = security.seams(security.SecurityConfig.of(files, addresses.host_address(config)))
    store = await SqliteStore.open(cluster.data / "store.db", clock)
    try:
        async with Compactor(store, clock), ApiServer(settings, store, clock, Ids(), seams) as api:
            await api.serve()
            yield api
    finally:
        await store.close()
