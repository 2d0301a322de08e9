"""What other rules ask about a Service's spec."""

from tiphys.api import core_v1


def is_headless(spec: core_v1.ServiceSpec) -> bool:
    """It was created without an address on purpose."""
    return spec.clusterIP == "None" or (spec.clusterIPs or [""])[0] == "None"


def needs_cluster_ip(spec: core_v1.ServiceSpec) -> bool:
    return spec.type in ("ClusterIP", "LoadBalancer", "NodePort")


def needs_node_port(spec: core_v1.ServiceSpec) -> bool:
    if spec.type == "LoadBalancer":
        return spec.allocateLoadBalancerNodePorts is not False
    return spec.type == "NodePort"


def externally_accessible(spec: core_v1.ServiceSpec) -> bool:
    return spec.type in ("LoadBalancer", "NodePort") or (spec.type == "ClusterIP" and bool(spec.externalIPs))


def needs_health_check(spec: core_v1.ServiceSpec) -> bool:
    return spec.type == "LoadBalancer" and spec.externalTrafficPolicy == "Local"
