"""Kubelet, service proxy and cluster DNS: what every node runs, in one process."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tiphys.apiserver import pki
from tiphys.base.clock import RealClock
from tiphys.base.ids import Ids
from tiphys.cli import addresses, identities
from tiphys.cli.cluster import Cluster, ClusterConfig
from tiphys.cli.supervisor.components.together import Together
from tiphys.client import Informers
from tiphys.dns.config import DnsConfig
from tiphys.dns.loop import Dns
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.loop import Kubelet
from tiphys.proxy.config import ProxyConfig
from tiphys.proxy.loop import Proxy


def _kubelet_config(cluster: Cluster, config: ClusterConfig) -> KubeletConfig:
    files = pki.Pki(cluster.pki)
    return KubeletConfig(
        node_name=config.node_name,
        root_dir=cluster.data / "kubelet",
        log_dir=cluster.logs,
        cri_socket=cluster.runtime_socket,
        node_ips=(addresses.host_address(config),),
        hostname=config.node_name,
        port=config.kubelet_port,
        tls_cert=files.kubelet_server.cert,
        tls_key=files.kubelet_server.key,
        client_ca=files.ca,
        cluster_dns=(addresses.dns_service_address(config),),
        cluster_domain=config.cluster_domain,
    )


@asynccontextmanager
async def run(cluster: Cluster, config: ClusterConfig) -> AsyncIterator[Together]:
    clock, source = RealClock(), random.SystemRandom()
    async with AsyncExitStack() as stack:
        kubelet_client = await stack.enter_async_context(identities.client(cluster, config, "kubelet", "kubelet"))
        proxy_client = await stack.enter_async_context(identities.client(cluster, config, "proxy", "kube-proxy"))
        informers = Informers(proxy_client, clock, source)
        proxy = Proxy(
            ProxyConfig(
                tag=config.id,
                node_name=config.node_name,
                cluster_cidr=config.pod_range,
                service_cidr=config.service_range,
            ),
            informers,
            clock,
        )
        dns_config = DnsConfig(listen=((addresses.bridge_address(config), 53),), cluster_domain=config.cluster_domain)
        dns = Dns(dns_config, informers, clock, source)
        kubelet = Kubelet(_kubelet_config(cluster, config), kubelet_client, clock, Ids(source), source, informers)
        await stack.enter_async_context(informers)
        await stack.enter_async_context(dns)
        await stack.enter_async_context(kubelet)
        await stack.enter_async_context(proxy)
        yield Together(kubelet, proxy, dns)
