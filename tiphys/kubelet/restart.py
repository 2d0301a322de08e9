"""Which containers run again after they have ended, and which ones a Pod has."""

import msgspec

from tiphys.api import core_v1
from tiphys.kubelet.facts import ContainerKind
from tiphys.machinery import hashing

AnyContainer = core_v1.Container | core_v1.EphemeralContainer


def is_sidecar(container: AnyContainer) -> bool:
    """An init container that stays: it restarts always, and the next one begins once it has started."""
    return container.restartPolicy == "Always"


def containers_of(pod: core_v1.Pod) -> list[tuple[ContainerKind, AnyContainer]]:
    """All containers of the spec: init, app, ephemeral, each in order."""
    return [
        *(("init", c) for c in pod.spec.initContainers or ()),
        *(("app", c) for c in pod.spec.containers),
        *(("ephemeral", c) for c in pod.spec.ephemeralContainers or ()),
    ]


def find_container(pod: core_v1.Pod, name: str) -> AnyContainer | None:
    return next((c for _, c in containers_of(pod) if c.name == name), None)


def kind_of(pod: core_v1.Pod, name: str) -> ContainerKind:
    return next((kind for kind, c in containers_of(pod) if c.name == name), "app")


def runs_again(pod: core_v1.Pod, container: AnyContainer, exit_code: int) -> bool:
    """Whether an app container that ended with ``exit_code`` is started again.

    Source: Kubernetes docs, "Pod Lifecycle", "Container restart policy" and "Individual container restart
    policy and rules".
    """
    verdict = _by_rules(container, exit_code)
    if verdict is not None:
        return verdict
    policy = container.restartPolicy or pod.spec.restartPolicy or "Always"
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def init_runs_again(pod: core_v1.Pod, container: AnyContainer, exit_code: int) -> bool:
    """The same for an init container, which needs to succeed once; a sidecar always runs again."""
    if is_sidecar(container):
        return True
    if exit_code == 0:
        return False
    verdict = _by_rules(container, exit_code)
    if verdict is not None:
        return verdict
    return (container.restartPolicy or pod.spec.restartPolicy or "Always") != "Never"


def _by_rules(container: AnyContainer, exit_code: int) -> bool | None:
    for rule in container.restartPolicyRules or ():
        codes = rule.exitCodes
        if codes is None:
            continue
        listed = exit_code in (codes.values or ())
        if listed == (codes.operator == "In"):
            return rule.action == "Restart"
    return None


def spec_hash(container: AnyContainer) -> str:
    """What of a container cannot change while it runs: another hash means it has to be made anew."""
    return f"{hashing.fnv1a_32(msgspec.json.encode([container.name, container.image or ''])):x}"
