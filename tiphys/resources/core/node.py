"""Node."""

from collections.abc import Mapping
from datetime import datetime

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.core.pod.resources import amount_problems
from tiphys.resources.core.pod.scheduling import validate_taints
from tiphys.resources.rules import Column, Resource, Strategy, Subresource

ROLE_PREFIX = "node-role.kubernetes.io/"
ROLE_LABEL = "kubernetes.io/role"
SET_ONCE = 'node updates may not change {} except from "" to valid'


def default(node: core_v1.Node) -> None:
    spec, status = node.spec, node.status
    if spec.podCIDR and not spec.podCIDRs:
        spec.podCIDRs = [spec.podCIDR]
    elif spec.podCIDRs and not spec.podCIDR:
        spec.podCIDR = spec.podCIDRs[0]
    if status.allocatable is None and status.capacity:
        status.allocatable = dict(status.capacity)


def validate(node: core_v1.Node) -> Errors:
    errs: Errors = []
    # The path says metadata, as Kubernetes' messages do.
    validate_taints(errs, "metadata.taints", node.spec.taints or [])
    _amounts(errs, "status.capacity", node.status.capacity)
    _amounts(errs, "status.allocatable", node.status.allocatable)
    ranges = node.spec.podCIDRs or []
    for index, value in enumerate(ranges):
        checks.form(errs, f"spec.podCIDRs[{index}]", value, checks.cidr)
    if len(ranges) > 1 and (len(ranges) > 2 or len({":" in value for value in ranges}) == 1):
        detail = "may specify no more than one CIDR for each IP family"
        errs.append(fields.invalid("spec.podCIDRs", ranges, detail))
    return errs


def _amounts(errs: Errors, path: str, amounts: Mapping[str, str] | None) -> None:
    for name, amount in (amounts or {}).items():
        for message in amount_problems(name, amount):
            errs.append(fields.invalid(f"{path}.{name}", amount, message))


def validate_change(node: core_v1.Node, old: core_v1.Node) -> Errors:
    errs: Errors = []
    seen: set[tuple[str, str]] = set()
    for index, address in enumerate(node.status.addresses or ()):
        if (address.type, address.address) in seen:
            errs.append(fields.duplicate(f"status.addresses[{index}]", address))
        seen.add((address.type, address.address))
    if old.spec.podCIDRs and node.spec.podCIDRs != old.spec.podCIDRs:
        errs.append(fields.forbidden("spec.podCIDRs", SET_ONCE.format("podCIDR")))
    if old.spec.providerID and node.spec.providerID != old.spec.providerID:
        errs.append(fields.forbidden("spec.providerID", SET_ONCE.format("providerID")))
    if (node.spec.externalID or "") != (old.spec.externalID or ""):
        errs.append(fields.forbidden("spec.externalID", "may not be updated"))
    return errs


class NodeStrategy(Strategy[core_v1.Node]):
    """The main endpoint. A node may be created with its status: kubelets do that."""

    def default(self, obj: core_v1.Node) -> None:
        default(obj)

    def validate_create(self, obj: core_v1.Node) -> list[FieldError]:
        return validate(obj)

    def prepare_for_update(self, obj: core_v1.Node, old: core_v1.Node) -> None:
        obj.status = old.status

    def validate_update(self, obj: core_v1.Node, old: core_v1.Node) -> list[FieldError]:
        return [*validate_change(obj, old), *validate(obj)]


class NodeStatusStrategy(NodeStrategy):
    """``/status``: written by the kubelet."""

    def prepare_for_update(self, obj: core_v1.Node, old: core_v1.Node) -> None:
        obj.spec = old.spec


def _status(node: core_v1.Node, now: datetime) -> str:
    ready = next((each for each in node.status.conditions or () if each.type == "Ready"), None)
    words = ["Unknown" if ready is None else "Ready" if ready.status == "True" else "NotReady"]
    if node.spec.unschedulable:
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(node: core_v1.Node, now: datetime) -> str:
    roles = {key.removeprefix(ROLE_PREFIX) for key in node.metadata.labels if key.startswith(ROLE_PREFIX)}
    roles.add(node.metadata.labels.get(ROLE_LABEL, ""))
    return ",".join(sorted(roles - {""})) or "<none>"


def _address(node: core_v1.Node, kind: str) -> str:
    return next((each.address for each in node.status.addresses or () if each.type == kind), "<none>")


def _info(node: core_v1.Node, field: str, absent: str = "<unknown>") -> str:
    info = node.status.nodeInfo
    return (getattr(info, field) if info is not None else "") or absent


ROW = Resource(
    group="",
    version="v1",
    kind="Node",
    plural="nodes",
    cls=core_v1.Node,
    strategy=NodeStrategy(),
    namespaced=False,
    short_names=("no",),
    subresources=(
        Subresource("proxy", subresources.PROXY_VERBS, "", "v1", "NodeProxyOptions"),
        subresources.status(NodeStatusStrategy()),
    ),
    columns=(
        NAME,
        Column("Status", _status, description="Whether the node is ready, and open for new Pods."),
        Column("Roles", _roles, description="Its roles, from its labels."),
        AGE,
        Column("Version", lambda node, now: _info(node, "kubeletVersion", ""), description="Version of its kubelet."),
        Column("Internal-IP", lambda node, now: _address(node, "InternalIP"), priority=1, description="Address."),
        Column("External-IP", lambda node, now: _address(node, "ExternalIP"), priority=1, description="Address."),
        Column("OS-Image", lambda node, now: _info(node, "osImage"), priority=1, description="Operating system."),
        Column("Kernel-Version", lambda node, now: _info(node, "kernelVersion"), priority=1, description="Kernel."),
        Column(
            "Container-Runtime",
            lambda node, now: _info(node, "containerRuntimeVersion"),
            priority=1,
            description="Container runtime and its version.",
        ),
    ),
    fields={"spec.unschedulable": lambda node: "true" if node.spec.unschedulable else "false"},
)
