"""Service: the row, defaults, validation, what changes of type drop, columns.

Families, addresses and node ports are given out by the API server, between prepare and validation.
"""

import ipaddress
from datetime import datetime

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME, labels
from tiphys.resources.core import service_changes
from tiphys.resources.core.service_facts import (
    externally_accessible,
    is_headless,
    needs_health_check,
)
from tiphys.resources.rules import Column, Resource, Strategy, Subresource

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
AFFINITY_SECONDS_MAX = 86400
AFFINITY_SECONDS = 10800
FAMILIES = ("IPv4", "IPv6")
FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'"
NOT_EXTERNAL_NAME = "may not be set for ExternalName services"
SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"


def default(service: core_v1.Service) -> None:
    spec = service.spec
    spec.type = spec.type or "ClusterIP"
    spec.sessionAffinity = spec.sessionAffinity or "None"
    if spec.sessionAffinity == "None":
        spec.sessionAffinityConfig = None
    elif spec.sessionAffinity == "ClientIP":
        config = spec.sessionAffinityConfig
        if config is None or config.clientIP is None or config.clientIP.timeoutSeconds is None:
            spec.sessionAffinityConfig = core_v1.SessionAffinityConfig(
                clientIP=core_v1.ClientIPConfig(timeoutSeconds=AFFINITY_SECONDS)
            )
    for port in spec.ports or ():
        port.protocol = port.protocol or "TCP"
        port.targetPort = port.targetPort or port.port
    if externally_accessible(spec) and not spec.externalTrafficPolicy:
        spec.externalTrafficPolicy = "Cluster"
    if spec.type != "ExternalName" and spec.internalTrafficPolicy is None:
        spec.internalTrafficPolicy = "Cluster"
    if spec.type == "LoadBalancer" and spec.allocateLoadBalancerNodePorts is None:
        spec.allocateLoadBalancerNodePorts = True
    for ingress in service.status.loadBalancer.ingress or ():
        if ingress.ip and ingress.ipMode is None and spec.type == "LoadBalancer":
            ingress.ipMode = "VIP"


def validate(service: core_v1.Service) -> Errors:
    errs: Errors = []
    spec = service.spec
    if not spec.ports and not is_headless(spec) and spec.type != "ExternalName":
        errs.append(fields.required("spec.ports"))
    _type(errs, spec)
    _ports(errs, spec)
    if spec.selector:
        checks.labels(errs, "spec.selector", spec.selector)
    _affinity(errs, spec)
    validate_addresses(errs, spec)
    _external_addresses(errs, spec)
    checks.required_one_of(errs, "spec.type", spec.type, TYPES)
    _port_clashes(errs, spec)
    _load_balancer(errs, service)
    _traffic(errs, spec)
    return errs


def _type(errs: Errors, spec: core_v1.ServiceSpec) -> None:
    if spec.type in ("LoadBalancer", "NodePort") and is_headless(spec):
        detail = f"may not be set to 'None' for {spec.type} services"
        errs.append(fields.invalid("spec.clusterIPs[0]", "None", detail))
    if spec.type != "ExternalName":
        return
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if getattr(spec, field):
            errs.append(fields.forbidden(f"spec.{field}", NOT_EXTERNAL_NAME))
    name = (spec.externalName or "").removesuffix(".")
    checks.required_form(errs, "spec.externalName", name, checks.dns1123_subdomain)


def _ports(errs: Errors, spec: core_v1.ServiceSpec) -> None:
    ports = spec.ports or []
    names: set[str] = set()
    for index, port in enumerate(ports):
        here = f"spec.ports[{index}]"
        if not port.name:
            if len(ports) > 1:
                errs.append(fields.required(f"{here}.name"))
        else:
            checks.form(errs, f"{here}.name", port.name, checks.dns1123_label)
            if port.name in names:
                errs.append(fields.duplicate(f"{here}.name", port.name))
            names.add(port.name)
        checks.in_range(errs, f"{here}.port", port.port, 1, 65535)
        checks.required_one_of(errs, f"{here}.protocol", port.protocol, PROTOCOLS)
        checks.port(errs, f"{here}.targetPort", port.targetPort)
        if port.appProtocol is not None:
            checks.form(errs, f"{here}.appProtocol", port.appProtocol, checks.qualified_name)


def _port_clashes(errs: Errors, spec: core_v1.ServiceSpec) -> None:
    node_ports: set[tuple[str | None, int]] = set()
    ports: set[tuple[str | None, int]] = set()
    for index, port in enumerate(spec.ports or ()):
        here = f"spec.ports[{index}]"
        if spec.type == "ClusterIP" and port.nodePort:
            errs.append(fields.forbidden(f"{here}.nodePort", "may not be used when `type` is 'ClusterIP'"))
        if port.nodePort:
            if (port.protocol, port.nodePort) in node_ports:
                errs.append(fields.duplicate(f"{here}.nodePort", port.nodePort))
            node_ports.add((port.protocol, port.nodePort))
        if (port.protocol, port.port) in ports:
            errs.append(fields.duplicate(here, core_v1.ServicePort(protocol=port.protocol, port=port.port)))
        ports.add((port.protocol, port.port))


def _affinity(errs: Errors, spec: core_v1.ServiceSpec) -> None:
    checks.required_one_of(errs, "spec.sessionAffinity", spec.sessionAffinity, ("ClientIP", "None"))
    config = spec.sessionAffinityConfig
    path = "spec.sessionAffinityConfig"
    if spec.sessionAffinity == "None" and config is not None:
        errs.append(fields.forbidden(path, "must not be set when session affinity is None"))
    if spec.sessionAffinity != "ClientIP":
        return
    client = config.clientIP if config else None
    if config is None:
        errs.append(fields.required(path, "when session affinity type is ClientIP"))
    elif client is None:
        errs.append(fields.required(f"{path}.clientIP", "when session affinity type is ClientIP"))
    elif client.timeoutSeconds is None or not 0 < client.timeoutSeconds <= AFFINITY_SECONDS_MAX:
        detail = f"must be greater than 0 and less than {AFFINITY_SECONDS_MAX}"
        errs.append(fields.invalid(f"{path}.clientIP.timeoutSeconds", client.timeoutSeconds, detail))


def validate_addresses(errs: Errors, spec: core_v1.ServiceSpec) -> None:
    """Cluster IPs, families and policy, each for itself and against each other."""
    given = spec.clusterIPs or []
    if given and not spec.clusterIP and given[0]:
        errs.append(fields.invalid("spec.clusterIPs", given, "must be empty when `clusterIP` is not specified"))
    elif given and (spec.clusterIP or "") != given[0]:
        errs.append(fields.invalid("spec.clusterIPs", given, "first value must match `clusterIP`"))
    for index, family in enumerate(spec.ipFamilies or ()):
        checks.one_of(errs, f"spec.ipFamilies[{index}]", family, FAMILIES)
    checks.duplicates(errs, lambda index: f"spec.ipFamilies[{index}]", spec.ipFamilies or [])
    if spec.ipFamilyPolicy is not None:
        checks.one_of(errs, "spec.ipFamilyPolicy", spec.ipFamilyPolicy, FAMILY_POLICIES)
    before = len(errs)
    if "None" in given and len(given) > 1:
        errs.append(fields.invalid("spec.clusterIPs", given, "'None' must be the first and only value"))
    for index, address in enumerate(given):
        if address not in ("None", ""):
            checks.form(errs, f"spec.clusterIPs[{index}]", address, checks.ip_address)
    if len(given) > 2:
        errs.append(fields.invalid("spec.clusterIPs", given, "may only hold up to 2 values"))
    if len(errs) == before:
        _families_of_addresses(errs, given, spec.ipFamilies or [])


def _families_of_addresses(errs: Errors, given: list[str], families: list[str]) -> None:
    """Addresses are well-formed here."""
    versions = [ipaddress.ip_address(address).version for address in given if address not in ("None", "")]
    if len(versions) > 1 and len(set(versions)) < len(versions):
        errs.append(fields.invalid("spec.clusterIPs", given, "may specify no more than one IP for each IP family"))
    for index, (version, family) in enumerate(zip(versions, families, strict=False)):
        if f"IPv{version}" != family and family in FAMILIES:
            detail = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            errs.append(fields.invalid(f"spec.clusterIPs[{index}]", given[index], detail))


def _external_addresses(errs: Errors, spec: core_v1.ServiceSpec) -> None:
    for index, address in enumerate(spec.externalIPs or ()):
        here = f"spec.externalIPs[{index}]"
        if checks.ip_address(address):
            checks.form(errs, here, address, checks.ip_address)
        else:
            checks.form(errs, here, address, checks.special_address)


def _load_balancer(errs: Errors, service: core_v1.Service) -> None:
    spec = service.spec
    balanced = spec.type == "LoadBalancer"
    if spec.loadBalancerSourceRanges:
        # The capital stands in Kubernetes' message as well.
        if not balanced:
            errs.append(fields.forbidden("spec.LoadBalancerSourceRanges", ONLY_LOAD_BALANCER))
        for index, value in enumerate(spec.loadBalancerSourceRanges):
            checks.form(errs, f"spec.LoadBalancerSourceRanges[{index}]", value.strip(), checks.cidr)
    elif SOURCE_RANGES in service.metadata.annotations and not balanced:
        errs.append(fields.forbidden(f"metadata.annotations[{SOURCE_RANGES}]", ONLY_LOAD_BALANCER))
    if spec.allocateLoadBalancerNodePorts is not None and not balanced:
        errs.append(fields.forbidden("spec.allocateLoadBalancerNodePorts", ONLY_LOAD_BALANCER))
    if spec.loadBalancerClass is not None:
        if not balanced:
            errs.append(fields.forbidden("spec.loadBalancerClass", ONLY_LOAD_BALANCER))
        checks.form(errs, "spec.loadBalancerClass", spec.loadBalancerClass, checks.qualified_name)


def _traffic(errs: Errors, spec: core_v1.ServiceSpec) -> None:
    policy = spec.externalTrafficPolicy
    if externally_accessible(spec):
        checks.required_one_of(errs, "spec.externalTrafficPolicy", policy, ("Cluster", "Local"))
    elif policy:
        detail = "may only be set for externally-accessible services"
        errs.append(fields.invalid("spec.externalTrafficPolicy", policy, detail))
    if needs_health_check(spec):
        if not spec.healthCheckNodePort:
            errs.append(fields.required("spec.healthCheckNodePort"))
        else:
            checks.in_range(errs, "spec.healthCheckNodePort", spec.healthCheckNodePort, 1, 65535)
    elif spec.healthCheckNodePort:
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errs.append(fields.invalid("spec.healthCheckNodePort", spec.healthCheckNodePort, detail))
    if spec.type != "ExternalName":
        checks.required_one_of(errs, "spec.internalTrafficPolicy", spec.internalTrafficPolicy, ("Cluster", "Local"))
    if spec.trafficDistribution is not None:
        checks.one_of(errs, "spec.trafficDistribution", spec.trafficDistribution, DISTRIBUTIONS)


class ServiceStrategy(Strategy[core_v1.Service]):
    """The main endpoint."""

    create_on_update = True

    def default(self, obj: core_v1.Service) -> None:
        default(obj)

    def prepare_for_create(self, obj: core_v1.Service) -> None:
        obj.status = core_v1.ServiceStatus()
        if obj.spec.clusterIP and not obj.spec.clusterIPs:
            obj.spec.clusterIPs = [obj.spec.clusterIP]

    def validate_create(self, obj: core_v1.Service) -> list[FieldError]:
        return validate(obj)

    def prepare_for_update(self, obj: core_v1.Service, old: core_v1.Service) -> None:
        obj.status = old.status
        service_changes.prepare(obj.spec, old.spec)

    def validate_update(self, obj: core_v1.Service, old: core_v1.Service) -> list[FieldError]:
        return [*service_changes.validate(obj.spec, old.spec), *validate(obj)]

    def warnings(self, obj: core_v1.Service, old: core_v1.Service | None) -> list[str]:
        found: list[str] = []
        if obj.spec.sessionAffinity == "ClientIP" and is_headless(obj.spec):
            found.append("spec.SessionAffinity is ignored for headless services")
        if obj.spec.loadBalancerIP and obj.spec.type == "LoadBalancer":
            found.append("spec.loadBalancerIP: deprecated; use the annotation of the load balancer's implementation")
        return found


class ServiceStatusStrategy(Strategy[core_v1.Service]):
    """``/status``: written by load balancers."""

    def default(self, obj: core_v1.Service) -> None:
        default(obj)

    def prepare_for_update(self, obj: core_v1.Service, old: core_v1.Service) -> None:
        obj.spec = old.spec

    def validate_update(self, obj: core_v1.Service, old: core_v1.Service) -> list[FieldError]:
        errs: Errors = []
        for index, ingress in enumerate(obj.status.loadBalancer.ingress or ()):
            here = f"status.loadBalancer.ingress[{index}]"
            if ingress.ip:
                checks.form(errs, f"{here}.ip", ingress.ip, checks.ip_address)
            if ingress.hostname:
                checks.form(errs, f"{here}.hostname", ingress.hostname, checks.dns1123_subdomain)
        return errs


def _cluster_ip(service: core_v1.Service, now: datetime) -> str:
    return service.spec.clusterIP or "<none>"


def _external_ip(service: core_v1.Service, now: datetime) -> str:
    spec = service.spec
    if spec.type == "ExternalName":
        return spec.externalName or ""
    found = list(spec.externalIPs or ())
    if spec.type != "LoadBalancer":
        return ",".join(found) or "<none>"
    given = {ingress.ip or ingress.hostname or "" for ingress in service.status.loadBalancer.ingress or ()}
    return ",".join([*sorted(given), *found]) or "<pending>"


def _port_list(service: core_v1.Service, now: datetime) -> str:
    shown = [
        f"{port.port}:{port.nodePort}/{port.protocol}" if port.nodePort else f"{port.port}/{port.protocol}"
        for port in service.spec.ports or ()
    ]
    return ",".join(shown) or "<none>"


ROW = Resource(
    group="",
    version="v1",
    kind="Service",
    plural="services",
    cls=core_v1.Service,
    strategy=ServiceStrategy(),
    short_names=("svc",),
    categories=("all",),
    subresources=(
        Subresource("proxy", subresources.PROXY_VERBS, "", "v1", "ServiceProxyOptions"),
        subresources.status(ServiceStatusStrategy()),
    ),
    columns=(
        NAME,
        Column("Type", lambda service, now: service.spec.type or "", description="How the Service is exposed."),
        Column("Cluster-IP", _cluster_ip, description="Its address inside the cluster."),
        Column("External-IP", _external_ip, description="Its addresses outside of the cluster."),
        Column("Port(s)", _port_list, description="Its ports, with the node port where there is one."),
        AGE,
        Column("Selector", lambda service, now: labels(service.spec.selector), priority=1, description="Its Pods."),
    ),
    fields={
        "spec.clusterIP": lambda service: service.spec.clusterIP or "",
        "spec.type": lambda service: service.spec.type or "",
    },
    name_problems=checks.dns1123_label,
)
