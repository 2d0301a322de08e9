"""What an update of a Service keeps, drops and refuses.

Clients apply manifests that know nothing of addresses and node ports given out
before: those are kept. What a change of type makes meaningless is dropped,
unless the client has set it anew. Source: Kubernetes, package registry/core/service, by behaviour.
"""

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.core.service_facts import (
    externally_accessible,
    needs_cluster_ip,
    needs_health_check,
    needs_node_port,
)


def prepare(new: core_v1.ServiceSpec, old: core_v1.ServiceSpec) -> None:
    _pair_addresses(new, old)
    _keep_allocated(new, old)
    _drop_meaningless(new, old)


def _pair_addresses(new: core_v1.ServiceSpec, old: core_v1.ServiceSpec) -> None:
    """``clusterIP`` is the first of ``clusterIPs``, whichever of the two the client knows."""
    if new.clusterIPs == old.clusterIPs and (new.clusterIP or "") != (old.clusterIP or ""):
        new.clusterIPs = [new.clusterIP] if new.clusterIP else None
    elif new.clusterIP and not new.clusterIPs:
        # Who names the first address alone knows of no second, and does not give it back by that.
        new.clusterIPs = old.clusterIPs if new.clusterIP == old.clusterIP else [new.clusterIP]


def _keep_allocated(new: core_v1.ServiceSpec, old: core_v1.ServiceSpec) -> None:
    if needs_cluster_ip(new) and needs_cluster_ip(old):
        if not new.clusterIP and not new.clusterIPs:
            new.clusterIP, new.clusterIPs = old.clusterIP, old.clusterIPs
        new.ipFamilies = new.ipFamilies or old.ipFamilies
        new.ipFamilyPolicy = new.ipFamilyPolicy or old.ipFamilyPolicy
    if needs_node_port(new) and needs_node_port(old):
        given = {(port.protocol, port.port): port.nodePort for port in old.ports or () if port.nodePort}
        taken = {(port.protocol, port.nodePort) for port in new.ports or () if port.nodePort}
        for port in new.ports or ():
            kept = given.get((port.protocol, port.port))
            if not port.nodePort and kept and (port.protocol, kept) not in taken:
                port.nodePort = kept
    if needs_health_check(new) and needs_health_check(old) and not new.healthCheckNodePort:
        new.healthCheckNodePort = old.healthCheckNodePort


def _drop_meaningless(new: core_v1.ServiceSpec, old: core_v1.ServiceSpec) -> None:
    if needs_cluster_ip(old) and not needs_cluster_ip(new):
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if getattr(new, field) == getattr(old, field):
                setattr(new, field, None)
    if needs_node_port(old) and not needs_node_port(new) and _node_ports(new) == _node_ports(old):
        for port in new.ports or ():
            port.nodePort = None
    for field, applies in (
        ("healthCheckNodePort", needs_health_check),
        ("externalTrafficPolicy", externally_accessible),
        ("allocateLoadBalancerNodePorts", _is_balanced),
        ("loadBalancerClass", _is_balanced),
    ):
        if applies(old) and not applies(new) and getattr(new, field) == getattr(old, field):
            setattr(new, field, None)


def _node_ports(spec: core_v1.ServiceSpec) -> set[int | None]:
    return {port.nodePort for port in spec.ports or ()}


def _is_balanced(spec: core_v1.ServiceSpec) -> bool:
    return spec.type == "LoadBalancer"


def validate(new: core_v1.ServiceSpec, old: core_v1.ServiceSpec) -> Errors:
    """Addresses and families stay, unless the Service comes from or becomes an ExternalName."""
    errs: Errors = []
    if "ExternalName" not in (new.type, old.type):
        _first_stays(errs, new.clusterIPs or [], old.clusterIPs or [], "clusterIPs", "clusterIP")
        _first_stays(errs, new.ipFamilies or [], old.ipFamilies or [], "ipFamilies", "ipFamily")
    both = new.type == old.type == "LoadBalancer"
    if both and new.loadBalancerClass != old.loadBalancerClass:
        errs.append(fields.invalid("spec.loadBalancerClass", new.loadBalancerClass, "may not change once set"))
    if needs_health_check(new) and needs_health_check(old) and new.healthCheckNodePort != old.healthCheckNodePort:
        errs.append(fields.forbidden("spec.healthCheckNodePort", checks.IMMUTABLE))
    return errs


def _first_stays(errs: Errors, new: list[str], old: list[str], field: str, word: str) -> None:
    if not old:
        return
    if not new:
        errs.append(fields.invalid(f"spec.{field}[0]", new, f"primary {word} can not be unset"))
    elif new[0] != old[0]:
        errs.append(fields.invalid(f"spec.{field}[0]", new, "may not change once set"))
    elif len(new) > 1 and len(old) > 1 and new[1] != old[1]:
        errs.append(fields.invalid(f"spec.{field}[1]", new, "may not change once set"))
