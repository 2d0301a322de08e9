"""Warnings about Pod specs: what works today and should not be written any more."""

from collections.abc import Sequence

from tiphys.api import core_v1
from tiphys.resources.core.pod.defaults import containers_of

DEPRECATED_NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}


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
        if volume.gitRepo is not None:
            found.append(f"{path}.volumes[{index}].gitRepo: deprecated in v1.11, and disabled by default in v1.33+")
    for field, containers in (("initContainers", spec.initContainers or ()), ("containers", spec.containers)):
        for index, container in enumerate(containers):
            _environment(found, f"{path}.{field}[{index}]", container.env or ())
    _ports(found, path, spec)
    return found


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
