"""Warnings about Pod specs: what works today and should not be written any more."""

from collections.abc import Sequence

from tiphys.api import core_v1
from tiphys.resources import checks
from tiphys.resources.core.pod.defaults import containers_of

DEPRECATED_NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
REMOVED_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
NULL_SELECTOR = "a null labelSelector results in matching no pod"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def pod_spec_warnings(path: str, spec: core_v1.PodSpec) -> list[str]:
    found = [
        f"{path}.nodeSelector[{key}]: {DEPRECATED_NODE_LABELS[key]}"
        for key in sorted(spec.nodeSelector or ())
        if key in DEPRECATED_NODE_LABELS
    ]
    for index, alias in enumerate(spec.hostAliases or ()):
        others = [i for i, other in enumerate(spec.hostAliases or ()) if other.ip == alias.ip and i < index]
        if others:
            found.append(f"{path}.hostAliases[{index}].ip: duplicate ip: {alias.ip!s}")
    if (spec.terminationGracePeriodSeconds or 0) < 0:
        found.append(
            f"{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
        )
    for index, volume in enumerate(spec.volumes or ()):
        for name, words in REMOVED_VOLUMES.items():
            if getattr(volume, name) is not None:
                found.append(f"{path}.volumes[{index}].{name}: {words}")
    for index, secret in enumerate(spec.imagePullSecrets or ()):
        if not secret.name:
            found.append(f'{path}.imagePullSecrets[{index}].name: invalid empty name ""')
    if spec.affinity is not None:
        _affinity(found, f"{path}.affinity", spec.affinity)
    for index, spread in enumerate(spec.topologySpreadConstraints or ()):
        here = f"{path}.topologySpreadConstraints[{index}]"
        _label(found, f"{here}.topologyKey", spread.topologyKey)
        if spread.labelSelector is None:
            found.append(f"{here}.labelSelector: {NULL_SELECTOR}")
    for field, containers in (("initContainers", spec.initContainers or ()), ("containers", spec.containers)):
        for index, container in enumerate(containers):
            _environment(found, f"{path}.{field}[{index}]", container.env or ())
            _fractions(found, f"{path}.{field}[{index}].resources", container.resources)
    _ports(found, path, spec)
    return found


def _label(found: list[str], path: str, key: str) -> None:
    if key in DEPRECATED_NODE_LABELS:
        found.append(f"{path}: {key} is {DEPRECATED_NODE_LABELS[key]}")


def _affinity(found: list[str], path: str, affinity: core_v1.Affinity) -> None:
    node = affinity.nodeAffinity
    required = node.requiredDuringSchedulingIgnoredDuringExecution if node else None
    for index, term in enumerate(required.nodeSelectorTerms if required else ()):
        _node_term(found, f"{path}.nodeAffinity.{REQUIRED}.nodeSelectorTerms[{index}]", term)
    for index, preferred in enumerate((node.preferredDuringSchedulingIgnoredDuringExecution if node else None) or ()):
        _node_term(found, f"{path}.nodeAffinity.{PREFERRED}[{index}].preference", preferred.preference)
    for name in ("podAffinity", "podAntiAffinity"):
        pods = getattr(affinity, name)
        if pods is None:
            continue
        for index, wanted in enumerate(getattr(pods, REQUIRED) or ()):
            _pod_term(found, f"{path}.{name}.{REQUIRED}[{index}]", wanted)
        for index, weighted in enumerate(getattr(pods, PREFERRED) or ()):
            _pod_term(found, f"{path}.{name}.{PREFERRED}[{index}].podAffinityTerm", weighted.podAffinityTerm)


def _node_term(found: list[str], path: str, term: core_v1.NodeSelectorTerm) -> None:
    for index, expression in enumerate(term.matchExpressions or ()):
        _label(found, f"{path}.matchExpressions[{index}].key", expression.key)


def _pod_term(found: list[str], path: str, term: core_v1.PodAffinityTerm) -> None:
    if term.labelSelector is None:
        found.append(f"{path}.labelSelector: {NULL_SELECTOR}")


def _fractions(found: list[str], path: str, resources: core_v1.ResourceRequirements) -> None:
    """Amounts of bytes that are no whole bytes: ``400m`` of memory is a slip of the pen."""
    for field in ("limits", "requests"):
        amounts = getattr(resources, field) or {}
        for name in ("memory", "ephemeral-storage"):
            amount = amounts.get(name)
            if amount is not None and not checks.is_whole(amount):
                found.append(f'{path}.{field}[{name}]: fractional byte value "{amount}" is invalid, must be an integer')


def _environment(found: list[str], path: str, variables: Sequence[core_v1.EnvVar]) -> None:
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        if variable.name in seen:
            found.append(
                f'{path}.env[{index}]: hides previous definition of "{variable.name}", '
                "which may be dropped when using apply"
            )
        seen.add(variable.name)


def _ports(found: list[str], path: str, spec: core_v1.PodSpec) -> None:
    if not any(container.ports for container in containers_of(spec)):
        return
    taken: dict[tuple[str, int], str] = {}
    for index, container in enumerate(spec.containers):
        for number, port in enumerate(container.ports or ()):
            key = (port.protocol or "TCP", port.containerPort)
            here = f"{path}.containers[{index}].ports[{number}]"
            if key in taken and not port.hostPort:
                found.append(f"{here}: duplicate port definition with {taken[key]}")
            taken.setdefault(key, here)
