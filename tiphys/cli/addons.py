"""Objects that a cluster has from the start besides those of the API server: the DNS Service, a default class.

Source: Kubernetes docs, "DNS for Services and Pods"; names and labels are those that clients look for.
"""

from tiphys.api import core_v1, discovery_v1, meta_v1, storage_v1
from tiphys.cli import addresses
from tiphys.cli.cluster import ClusterConfig
from tiphys.client import Client
from tiphys.machinery import errors
from tiphys.resources.storage import local_path

NAMESPACE = "kube-system"
NAME = "kube-dns"
LABELS = {"k8s-app": NAME, "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
MANAGER = "up.tiphys.dev"


def dns_service(config: ClusterConfig) -> core_v1.Service:
    """Without a selector: what answers is the node's own process, not a Pod."""
    address = addresses.dns_service_address(config)
    return core_v1.Service(
        metadata=meta_v1.ObjectMeta(name=NAME, namespace=NAMESPACE, labels=LABELS),
        spec=core_v1.ServiceSpec(
            clusterIP=address,
            clusterIPs=[address],
            ports=[
                core_v1.ServicePort(name="dns", port=53, protocol="UDP", targetPort=53),
                core_v1.ServicePort(name="dns-tcp", port=53, protocol="TCP", targetPort=53),
            ],
        ),
    )


def dns_endpoints(config: ClusterConfig) -> discovery_v1.EndpointSlice:
    return discovery_v1.EndpointSlice(
        metadata=meta_v1.ObjectMeta(
            name=f"{NAME}-{config.id}",
            namespace=NAMESPACE,
            labels={"kubernetes.io/service-name": NAME, "endpointslice.kubernetes.io/managed-by": MANAGER},
        ),
        addressType="IPv4",
        endpoints=[
            discovery_v1.Endpoint(
                addresses=[addresses.bridge_address(config)],
                conditions=discovery_v1.EndpointConditions(ready=True, serving=True, terminating=False),
                nodeName=config.node_name,
            )
        ],
        ports=[
            discovery_v1.EndpointPort(name="dns", port=53, protocol="UDP"),
            discovery_v1.EndpointPort(name="dns-tcp", port=53, protocol="TCP"),
        ],
    )


def storage_class() -> storage_v1.StorageClass:
    """Volumes are directories of the node that its first Pod runs on."""
    return storage_v1.StorageClass(
        metadata=meta_v1.ObjectMeta(
            name=local_path.CLASS, annotations={"storageclass.kubernetes.io/is-default-class": "true"}
        ),
        provisioner=local_path.PROVISIONER,
        reclaimPolicy="Delete",
        volumeBindingMode="WaitForFirstConsumer",
    )


async def ensure(client: Client, config: ClusterConfig) -> None:
    """Create what is missing; what is there is the user's to change."""
    dns = () if config.simulate else (dns_service(config), dns_endpoints(config))
    for obj in (*dns, storage_class()):
        objects = client.of(type(obj))
        try:
            # Looked for first: creating a Service again is refused for its address, not for its name.
            await objects.get(obj.metadata.name, obj.metadata.namespace)
        except errors.NotFound:
            await objects.create(obj)
