"""NetworkPolicy."""

import ipaddress
from collections.abc import Sequence

from tiphys.api import networking_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME, label_selector
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy

PROTOCOLS = ("SCTP", "TCP", "UDP")


def default(policy: networking_v1.NetworkPolicy) -> None:
    spec = policy.spec
    for rule in (*(spec.ingress or ()), *(spec.egress or ())):
        for port in rule.ports or ():
            port.protocol = port.protocol or "TCP"
    if not spec.policyTypes:
        spec.policyTypes = ["Ingress", "Egress"] if spec.egress else ["Ingress"]


def validate(policy: networking_v1.NetworkPolicy) -> Errors:
    errs: Errors = []
    spec = policy.spec
    checks.label_selector(errs, "spec.podSelector", spec.podSelector)
    for index, ingress in enumerate(spec.ingress or ()):
        _ports(errs, f"spec.ingress[{index}].ports", ingress.ports or [])
        _peers(errs, f"spec.ingress[{index}].from", ingress.from_ or [])
    for index, egress in enumerate(spec.egress or ()):
        _ports(errs, f"spec.egress[{index}].ports", egress.ports or [])
        _peers(errs, f"spec.egress[{index}].to", egress.to or [])
    if len(spec.policyTypes or ()) > 2:
        detail = "may not specify more than two policyTypes"
        errs.append(fields.invalid("spec.policyTypes", spec.policyTypes, detail))
    for index, kind in enumerate(spec.policyTypes or ()):
        checks.one_of(errs, f"spec.policyTypes[{index}]", kind, ("Egress", "Ingress"))
    return errs


def _ports(errs: Errors, path: str, ports: Sequence[networking_v1.NetworkPolicyPort]) -> None:
    for index, port in enumerate(ports):
        here = f"{path}[{index}]"
        checks.one_of(errs, f"{here}.protocol", port.protocol, PROTOCOLS)
        if port.port is not None:
            checks.port(errs, f"{here}.port", port.port)
        if port.endPort is None:
            continue
        if port.port is None:
            detail = "may not be specified when `port` is not specified"
            errs.append(fields.invalid(f"{here}.endPort", port.endPort, detail))
        elif isinstance(port.port, str):
            detail = "may not be specified when `port` is non-numeric"
            errs.append(fields.invalid(f"{here}.endPort", port.endPort, detail))
        elif port.endPort < port.port:
            detail = "must be greater than or equal to `port`"
            errs.append(fields.invalid(f"{here}.endPort", port.endPort, detail))


def _peers(errs: Errors, path: str, peers: Sequence[networking_v1.NetworkPolicyPeer]) -> None:
    for index, peer in enumerate(peers):
        here = f"{path}[{index}]"
        selected = peer.podSelector is not None or peer.namespaceSelector is not None
        checks.label_selector(errs, f"{here}.podSelector", peer.podSelector)
        checks.label_selector(errs, f"{here}.namespaceSelector", peer.namespaceSelector)
        if peer.ipBlock is not None:
            _block(errs, f"{here}.ipBlock", peer.ipBlock)
            if selected:
                errs.append(fields.forbidden(here, "may not specify both ipBlock and another peer"))
        elif not selected:
            errs.append(fields.required(here, "must specify a peer"))


def _block(errs: Errors, path: str, block: networking_v1.IPBlock) -> None:
    if not block.cidr:
        errs.append(fields.required(f"{path}.cidr"))
        return
    if checks.cidr(block.cidr):
        checks.form(errs, f"{path}.cidr", block.cidr, checks.cidr)
        return
    whole = ipaddress.ip_network(block.cidr, strict=False)
    for index, value in enumerate(block.except_ or ()):
        here = f"{path}.except[{index}]"
        if checks.cidr(value):
            checks.form(errs, here, value, checks.cidr)
            continue
        part = ipaddress.ip_network(value, strict=False)
        if part.version != whole.version or part == whole or not part.subnet_of(whole):  # type: ignore[arg-type]
            errs.append(fields.invalid(here, value, "must be a strict subset of `cidr`"))


ROW = Resource(
    group="networking.k8s.io",
    version="v1",
    kind="NetworkPolicy",
    plural="networkpolicies",
    cls=networking_v1.NetworkPolicy,
    strategy=FunctionStrategy(default, validate),
    short_names=("netpol",),
    columns=(
        NAME,
        Column("Pod-Selector", lambda policy, now: label_selector(policy.spec.podSelector), description="Which Pods."),
        AGE,
    ),
)
