"""Which nodes a Pod may run on, by name, selector, required affinity and taints. Pure."""

from collections.abc import Iterable, Mapping

from tiphys.api import core_v1


def fits_affinity(spec: core_v1.PodSpec, node: core_v1.Node) -> bool:
    """Whether nodeSelector and required node affinity allow ``node``."""
    labels = node.metadata.labels
    if any(labels.get(key) != value for key, value in (spec.nodeSelector or {}).items()):
        return False
    affinity = spec.affinity.nodeAffinity if spec.affinity is not None else None
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity is not None else None
    if required is None:
        return True
    return any(_meets(term, node) for term in required.nodeSelectorTerms)


def _meets(term: core_v1.NodeSelectorTerm, node: core_v1.Node) -> bool:
    if not term.matchExpressions and not term.matchFields:
        # An empty term matches nothing.
        return False
    names = {"metadata.name": node.metadata.name}
    return _all(term.matchExpressions or (), node.metadata.labels) and _all(term.matchFields or (), names)


def _all(requirements: Iterable[core_v1.NodeSelectorRequirement], labels: Mapping[str, str]) -> bool:
    return all(_is_met(requirement, labels) for requirement in requirements)


def _is_met(requirement: core_v1.NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
    values = requirement.values or []
    found = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return found in values
        case "NotIn":
            return found not in values
        case "Exists":
            return found is not None
        case "DoesNotExist":
            return found is None
        case "Gt" | "Lt":
            return _compare(requirement.operator, found, values)
    return False


def _compare(operator: str, found: str | None, values: list[str]) -> bool:
    if found is None or len(values) != 1:
        return False
    try:
        left, right = int(found), int(values[0])
    except ValueError:
        return False
    return left > right if operator == "Gt" else left < right


def tolerates(toleration: core_v1.Toleration, taint: core_v1.Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and (toleration.value or "") == (taint.value or "")


def is_repelled(node: core_v1.Node, tolerations: Iterable[core_v1.Toleration], effects: tuple[str, ...]) -> bool:
    """Whether a taint of one of ``effects`` is not tolerated."""
    known = [*tolerations]
    taints = (taint for taint in node.spec.taints or () if taint.effect in effects)
    return any(not any(tolerates(toleration, taint) for toleration in known) for taint in taints)
