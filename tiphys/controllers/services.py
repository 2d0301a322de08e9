"""What both endpoint controllers ask about Services and the Pods behind them. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from tiphys.api import core_v1
from tiphys.controllers import pods as podfacts

HEADLESS_LABEL = "service.kubernetes.io/headless"


def selects(service: core_v1.Service, labels: Mapping[str, str]) -> bool:
    """Whether a Pod with these labels stands behind ``service``. No selector selects nothing."""
    selector = service.spec.selector
    return bool(selector) and selector.items() <= labels.items() if selector else False


def is_managed(service: core_v1.Service) -> bool:
    """Services without selector are served by whoever writes their endpoints."""
    return bool(service.spec.selector) and service.spec.type != "ExternalName"


def is_headless(service: core_v1.Service) -> bool:
    return service.spec.clusterIP == "None" or (not service.spec.clusterIP and service.spec.type != "ExternalName")


def labels_of(service: core_v1.Service) -> dict[str, str]:
    """The Service's labels as its endpoints carry them, with the mark of headless ones."""
    labels = {key: text for key, text in service.metadata.labels.items() if key != HEADLESS_LABEL}
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    return labels


def belongs(pod: core_v1.Pod, include_terminating: bool) -> bool:
    """Whether a selected Pod is listed at all: it has an address and has not finished."""
    if podfacts.is_finished(pod) or not pod.status.podIP:
        return False
    return include_terminating or pod.metadata.deletionTimestamp is None


def find_port(pod: core_v1.Pod, port: core_v1.ServicePort) -> int | None:
    """The number behind ``targetPort``; None if the Pod has no port of that name and protocol."""
    target = port.port if port.targetPort in (None, 0, "") else port.targetPort
    if isinstance(target, int):
        return target
    protocol = port.protocol or "TCP"
    sidecars = [c for c in pod.spec.initContainers or () if c.restartPolicy == "Always"]
    for container in [*pod.spec.containers, *sidecars]:
        for found in container.ports or ():
            if found.name == target and (found.protocol or "TCP") == protocol:
                return found.containerPort
    return None


def hostname(pod: core_v1.Pod, service: core_v1.Service) -> str | None:
    """The Pod's own name below the Service, if it asks for one."""
    if pod.spec.hostname and pod.spec.subdomain == service.metadata.name:
        return pod.spec.hostname
    return None


def target_ref(pod: core_v1.Pod) -> core_v1.ObjectReference:
    return core_v1.ObjectReference(
        kind="Pod", namespace=pod.metadata.namespace, name=pod.metadata.name, uid=pod.metadata.uid
    )


def addresses(pod: core_v1.Pod) -> Sequence[str]:
    """All addresses, the first family's first."""
    found = [entry.ip for entry in pod.status.podIPs or () if entry.ip]
    return found or ([pod.status.podIP] if pod.status.podIP else [])


def facts(pod: core_v1.Pod) -> tuple[object, ...]:
    """What of a Pod shows in endpoints; other changes concern no Service."""
    return (
        pod.status.podIP,
        pod.status.podIPs,
        pod.spec.nodeName,
        podfacts.is_ready(pod),
        podfacts.is_finished(pod),
        pod.metadata.deletionTimestamp is None,
        pod.spec.hostname,
        pod.spec.subdomain,
    )


def concerned(
    services: Iterable[core_v1.Service], old: core_v1.Pod | None, new: core_v1.Pod | None
) -> list[core_v1.Service]:
    """Those of ``services`` (of the Pod's namespace) whose endpoints a Pod's change may change."""
    if old is not None and new is not None:
        relabeled = old.metadata.labels != new.metadata.labels
        changed = facts(old) != facts(new)
        if not relabeled and not changed:
            return []
        if not changed:
            # A new label alone matters only to those who select the one and not the other.
            return [s for s in services if selects(s, old.metadata.labels) != selects(s, new.metadata.labels)]
    either = [pod for pod in (old, new) if pod is not None]
    return [s for s in services if any(selects(s, pod.metadata.labels) for pod in either)]
