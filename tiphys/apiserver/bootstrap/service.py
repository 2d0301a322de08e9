"""The Service ``default/kubernetes``, through which Pods find the API server, and where it leads.

Source: Kubernetes docs, "Service", the ``kubernetes`` Service; kube-apiserver's
endpoint reconciler, by behaviour.
"""

from dataclasses import dataclass
from typing import Final

from tiphys.api import core_v1, discovery_v1, meta_v1

NAME: Final = "kubernetes"
NAMESPACE: Final = "default"
PORT: Final = 443
LABELS: Final = {"component": "apiserver", "provider": "kubernetes"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the Service is, and where the API server really listens."""

    cluster_ip: str
    address: str
    port: int

    @property
    def is_reachable(self) -> bool:
        """Endpoints must not be loopback or unspecified addresses; Pods could not reach those anyway."""
        return bool(self.address) and self.port > 0


def service(place: Place) -> core_v1.Service:
    ports = [core_v1.ServicePort(name="https", protocol="TCP", port=PORT, targetPort=place.port)]
    spec = core_v1.ServiceSpec(
        type="ClusterIP",
        clusterIP=place.cluster_ip,
        clusterIPs=[place.cluster_ip],
        ipFamilies=["IPv6" if ":" in place.cluster_ip else "IPv4"],
        ipFamilyPolicy="SingleStack",
        sessionAffinity="None",
        internalTrafficPolicy="Cluster",
        ports=ports,
    )
    metadata = meta_v1.ObjectMeta(name=NAME, namespace=NAMESPACE, labels=dict(LABELS))
    return core_v1.Service(metadata=metadata, spec=spec)


def endpoints(place: Place) -> core_v1.Endpoints:
    subset = core_v1.EndpointSubset(
        addresses=[core_v1.EndpointAddress(ip=place.address)],
        ports=[core_v1.EndpointPort(name="https", port=place.port, protocol="TCP")],
    )
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    metadata = meta_v1.ObjectMeta(name=NAME, namespace=NAMESPACE, labels=labels)
    return core_v1.Endpoints(metadata=metadata, subsets=[subset])


def endpoint_slice(place: Place) -> discovery_v1.EndpointSlice:
    metadata = meta_v1.ObjectMeta(name=NAME, namespace=NAMESPACE, labels={"kubernetes.io/service-name": NAME})
    return discovery_v1.EndpointSlice(
        metadata=metadata,
        addressType="IPv6" if ":" in place.address else "IPv4",
        endpoints=[
            discovery_v1.Endpoint(addresses=[place.address], conditions=discovery_v1.EndpointConditions(ready=True))
        ],
        ports=[discovery_v1.EndpointPort(name="https", port=place.port, protocol="TCP")],
    )
