"""Ingress."""

from datetime import datetime

from tiphys.api import networking_v1
from tiphys.machinery import fields
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy

PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
SHOWN = 3


def validate(ingress: networking_v1.Ingress) -> Errors:
    errs: Errors = []
    spec = ingress.spec
    if not spec.rules and spec.defaultBackend is None:
        errs.append(fields.invalid("spec", spec.rules or [], "either `defaultBackend` or `rules` must be specified"))
    if spec.defaultBackend is not None:
        _backend(errs, "spec.defaultBackend", spec.defaultBackend)
    for index, rule in enumerate(spec.rules or ()):
        _rule(errs, f"spec.rules[{index}]", rule)
    for index, tls in enumerate(spec.tls or ()):
        for number, host in enumerate(tls.hosts or ()):
            _host(errs, f"spec.tls[{index}].hosts[{number}]", host)
    if spec.ingressClassName is not None:
        checks.form(errs, "spec.ingressClassName", spec.ingressClassName, checks.dns1123_subdomain)
    return errs


def _host(errs: Errors, path: str, host: str) -> None:
    checks.form(errs, path, host, checks.wildcard if "*" in host else checks.dns1123_subdomain)


def _rule(errs: Errors, path: str, rule: networking_v1.IngressRule) -> None:
    if rule.host:
        if not checks.ip_address(rule.host):
            errs.append(fields.invalid(f"{path}.host", rule.host, "must be a DNS name, not an IP address"))
        else:
            _host(errs, f"{path}.host", rule.host)
    if rule.http is None:
        return
    if not rule.http.paths:
        errs.append(fields.required(f"{path}.http.paths"))
    for index, item in enumerate(rule.http.paths):
        here = f"{path}.http.paths[{index}]"
        if not item.pathType:
            errs.append(fields.required(f"{here}.pathType", "pathType must be specified"))
        else:
            checks.one_of(errs, f"{here}.pathType", item.pathType, PATH_TYPES)
        given = item.path or ""
        if (given or item.pathType != "ImplementationSpecific") and not given.startswith("/"):
            errs.append(fields.invalid(f"{here}.path", given, "must be an absolute path"))
        if item.pathType in ("Exact", "Prefix"):
            _ambiguous(errs, f"{here}.path", given)
        _backend(errs, f"{here}.backend", item.backend)


def _ambiguous(errs: Errors, path: str, given: str) -> None:
    """Servers disagree about what such paths mean."""
    for text in ("//", "/./", "/../", "%2f", "%2F"):
        if text in given:
            errs.append(fields.invalid(path, given, f"must not contain '{text}'"))
    for text in ("/..", "/."):
        if given.endswith(text):
            errs.append(fields.invalid(path, given, f"cannot end with '{text}'"))


def _backend(errs: Errors, path: str, backend: networking_v1.IngressBackend) -> None:
    service, resource = backend.service, backend.resource
    if service is not None and resource is not None:
        errs.append(fields.invalid(path, "", "cannot set both resource and service backends"))
    elif resource is not None:
        for name in ("kind", "name"):
            if not getattr(resource, name):
                errs.append(fields.required(f"{path}.resource.{name}"))
    elif service is None:
        errs.append(fields.required(path, "resource or service backend is required"))
    else:
        checks.required_form(errs, f"{path}.service.name", service.name, checks.dns1123_label)
        port = service.port or networking_v1.ServiceBackendPort()
        if port.name and port.number:
            errs.append(fields.invalid(path, "", "cannot set both port name & port number"))
        elif port.name:
            checks.form(errs, f"{path}.service.port.name", port.name, checks.port_name)
        elif port.number:
            checks.in_range(errs, f"{path}.service.port.number", port.number, 1, 65535)
        else:
            errs.append(fields.required(path, "port name or number is required"))


def _class(ingress: networking_v1.Ingress, now: datetime) -> str:
    annotated = ingress.metadata.annotations.get(CLASS_ANNOTATION)
    return ingress.spec.ingressClassName or annotated or "<none>"


def _hosts(ingress: networking_v1.Ingress, now: datetime) -> str:
    hosts = [rule.host for rule in ingress.spec.rules or () if rule.host]
    if not hosts:
        return "*"
    more = f" + {len(hosts) - SHOWN} more..." if len(hosts) > SHOWN else ""
    return ",".join(hosts[:SHOWN]) + more


def _address(ingress: networking_v1.Ingress, now: datetime) -> str:
    return ",".join(each.ip or each.hostname or "" for each in ingress.status.loadBalancer.ingress or ())


ROW = Resource(
    group="networking.k8s.io",
    version="v1",
    kind="Ingress",
    plural="ingresses",
    cls=networking_v1.Ingress,
    strategy=FunctionStrategy(None, validate),
    short_names=("ing",),
    subresources=(subresources.status(FunctionStatusStrategy()),),
    columns=(
        NAME,
        Column("Class", _class, description="Who serves it."),
        Column("Hosts", _hosts, description="Host names that it routes."),
        Column("Address", _address, description="Where it is reached."),
        Column("Ports", lambda ingress, now: "80, 443" if ingress.spec.tls else "80", description="Its ports."),
        AGE,
    ),
)
