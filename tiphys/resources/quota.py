"""What an object costs under resource quotas, and which quotas it counts for. Pure.

Shared by the admission plugin, which charges, and the controller, which counts again.
Source: Kubernetes docs, "Resource Quotas"; the quota evaluators, by behaviour.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from tiphys.api import core_v1
from tiphys.machinery import quantity, times
from tiphys.resources.core.pod.qos import qos_class

Amounts = dict[str, str]

#: Core resources that quotas have always known by their bare names.
BARE = (
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
)
#: What every container must say once a quota limits it.
COMPUTE = ("cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory")
CLASS_MARK = ".storageclass.storage.k8s.io/"
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def usage(group: str, plural: str, obj: Any, now: datetime) -> Amounts:
    """What ``obj`` costs, by the names that quotas use."""
    cost: Amounts = {counter(group, plural): "1"}
    if group:
        return cost
    if plural == "pods":
        return cost | (_pod(obj) if is_charged(obj, now) else {})
    if plural in BARE:
        cost[plural] = "1"
    if plural == "services":
        cost |= _service(obj)
    elif plural == "persistentvolumeclaims":
        cost |= _claim(obj)
    return cost


def counter(group: str, plural: str) -> str:
    return f"count/{plural}.{group}" if group else f"count/{plural}"


def is_charged(pod: core_v1.Pod, now: datetime) -> bool:
    """Neither finished, nor stuck in its deletion."""
    if pod.status.phase in ("Succeeded", "Failed"):
        return False
    metadata = pod.metadata
    if metadata.deletionTimestamp is None or metadata.deletionGracePeriodSeconds is None:
        return True
    return now <= times.parse(metadata.deletionTimestamp)


def _pod(pod: core_v1.Pod) -> Amounts:
    cost: Amounts = {"pods": "1"}
    for name, amount in pod_amounts(pod, "requests").items():
        cost |= _named(name, amount)
    for name, amount in pod_amounts(pod, "limits").items():
        if name in ("cpu", "memory", "ephemeral-storage"):
            cost[f"limits.{name}"] = amount
    return cost


def _named(name: str, amount: str) -> Amounts:
    if name in ("cpu", "memory", "ephemeral-storage") or name.startswith("hugepages-"):
        return {name: amount, f"requests.{name}": amount}
    # Extended resources are counted by what is requested of them.
    return {f"requests.{name}": amount} if "/" in name else {}


def pod_amounts(pod: core_v1.Pod, kind: str) -> Amounts:
    """What a Pod asks for at most at one time: ``kind`` is ``requests`` or ``limits``."""
    spec = pod.spec
    total: Amounts = {}
    for container in spec.containers:
        total = plus(total, getattr(container.resources, kind, None) or {})
    # Sidecars stay; other init containers run one after the other beside the sidecars before them.
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.initContainers or ():
        amounts = getattr(container.resources, kind, None) or {}
        if container.restartPolicy == "Always":
            sidecars = plus(sidecars, amounts)
            peak = _highest(peak, sidecars)
        else:
            peak = _highest(peak, plus(sidecars, amounts))
    total = _highest(plus(total, sidecars), peak)
    own = getattr(getattr(spec, "resources", None), kind, None) or {}
    total = {**total, **own}
    overhead = spec.overhead or {}
    if kind == "limits":
        overhead = {name: amount for name, amount in overhead.items() if name in total}
    return plus(total, overhead)


def plus(a: Mapping[str, str], b: Mapping[str, str]) -> Amounts:
    found: Amounts = dict(a)
    for name, amount in b.items():
        found[name] = quantity.add(found[name], amount) if name in found else amount
    return found


def minus(a: Mapping[str, str], b: Mapping[str, str]) -> Amounts:
    return {name: quantity.subtract(a.get(name, "0"), b.get(name, "0")) for name in {**a, **b}}


def _highest(a: Mapping[str, str], b: Mapping[str, str]) -> Amounts:
    found: Amounts = dict(a)
    for name, amount in b.items():
        if name not in found or quantity.compare(amount, found[name]) > 0:
            found[name] = amount
    return found


def _service(service: core_v1.Service) -> Amounts:
    kind, ports = service.spec.type, service.spec.ports or []
    nodeports = 0
    if kind == "NodePort":
        nodeports = len(ports)
    elif kind == "LoadBalancer":
        gives = service.spec.allocateLoadBalancerNodePorts is not False
        nodeports = len(ports) if gives else sum(bool(port.nodePort) for port in ports)
    return {"services.nodeports": str(nodeports), "services.loadbalancers": str(int(kind == "LoadBalancer"))}


def _claim(claim: core_v1.PersistentVolumeClaim) -> Amounts:
    asked = (claim.spec.resources.requests if claim.spec.resources else None) or {}
    storage = asked.get("storage", "0")
    given = ((claim.status.allocatedResources if claim.status else None) or {}).get("storage")
    if given is not None and quantity.compare(given, storage) > 0:
        storage = given
    cost: Amounts = {"requests.storage": storage}
    name = claim.metadata.annotations.get(CLASS_ANNOTATION) or claim.spec.storageClassName
    if name:
        cost[f"{name}{CLASS_MARK}persistentvolumeclaims"] = "1"
        cost[f"{name}{CLASS_MARK}requests.storage"] = storage
    return cost


# Scopes


def applies(quota: core_v1.ResourceQuota, group: str, plural: str, obj: Any) -> bool:
    """Whether ``obj`` is in all scopes of the quota; only Pods are in any."""
    scopes = [
        *((scope, "Exists", ()) for scope in quota.spec.scopes or ()),
        *_selected(quota.spec.scopeSelector),
    ]
    if not scopes:
        return True
    if (group, plural) != ("", "pods"):
        return False
    return all(_in_scope(obj, *scope) for scope in scopes)


def _selected(selector: core_v1.ScopeSelector | None) -> Iterable[tuple[str, str, Sequence[str]]]:
    for term in (selector.matchExpressions or ()) if selector is not None else ():
        yield term.scopeName, term.operator, term.values or ()


def _in_scope(pod: core_v1.Pod, scope: str, operator: str, values: Sequence[str]) -> bool:
    terminating = pod.spec.activeDeadlineSeconds is not None and pod.spec.activeDeadlineSeconds >= 0
    match scope:
        case "Terminating":
            return terminating
        case "NotTerminating":
            return not terminating
        case "BestEffort":
            return qos_class(pod) == "BestEffort"
        case "NotBestEffort":
            return qos_class(pod) != "BestEffort"
        case "PriorityClass":
            return _has_class(pod.spec.priorityClassName or "", operator, values)
        case "CrossNamespacePodAffinity":
            return _crosses_namespaces(pod)
    return False


def _has_class(name: str, operator: str, values: Sequence[str]) -> bool:
    match operator:
        case "In":
            return name in values
        case "NotIn":
            return name not in values
        case "DoesNotExist":
            return not name
    return bool(name)


def _crosses_namespaces(pod: core_v1.Pod) -> bool:
    affinity = pod.spec.affinity
    for side in (affinity.podAffinity, affinity.podAntiAffinity) if affinity is not None else ():
        if side is None:
            continue
        terms = [
            *(side.requiredDuringSchedulingIgnoredDuringExecution or ()),
            *(each.podAffinityTerm for each in side.preferredDuringSchedulingIgnoredDuringExecution or ()),
        ]
        if any(term.namespaces or term.namespaceSelector is not None for term in terms):
            return True
    return False


def unsaid(pod: core_v1.Pod, hard: Iterable[str]) -> str:
    """What containers must say because the quota limits it, as a sentence; empty if all is said."""
    required = [name for name in COMPUTE if name in {*hard}]
    missing: dict[str, list[str]] = {}
    for container in (*pod.spec.containers, *(pod.spec.initContainers or ())):
        resources = container.resources
        said = {f"limits.{name}" for name in (resources.limits if resources else None) or {}}
        for name in (resources.requests if resources else None) or {}:
            said |= {name, f"requests.{name}"}
        for name in required:
            if name not in said:
                missing.setdefault(name, []).append(container.name)
    if not missing:
        return ""
    texts = (f"{name} for: {','.join(sorted(containers))}" for name, containers in sorted(missing.items()))
    return "must specify " + "; ".join(texts)
