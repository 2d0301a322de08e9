"""Which nodes need a daemon, and which Pods are too many. Pure."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tiphys.api import apps_v1, core_v1, meta_v1
from tiphys.controllers import nodes as nodefacts
from tiphys.controllers import pods as podfacts
from tiphys.controllers.revisions import POD_HASH
from tiphys.machinery import codec, meta

DaemonSet = apps_v1.DaemonSet

TEMPLATE_GENERATION = "pod-template-generation"
GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"
#: Pods created or deleted in one look.
BURST = 250

_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")


@dataclass(slots=True)
class Changes:
    """``create`` names nodes."""

    create: list[str] = field(default_factory=list)
    delete: list[core_v1.Pod] = field(default_factory=list)
    #: Events about what is deleted: type, reason, message.
    events: list[tuple[str, str, str]] = field(default_factory=list)
    #: Look again after this time.
    wait: float | None = None


def tolerations(ds: DaemonSet) -> list[core_v1.Toleration]:
    """Those of the template, and what every daemon tolerates."""
    spec = ds.spec.template.spec
    found = [*(spec.tolerations or ())]
    for key, effect in (*_TOLERATED, *((_NETWORK,) if spec.hostNetwork else ())):
        wanted = core_v1.Toleration(key=key, operator="Exists", effect=effect)
        # One that says the same but for how long is made to last.
        found = [t for t in found if (t.key, t.operator, t.effect, t.value or "") != (key, "Exists", effect, "")]
        found.append(wanted)
    return found


def belongs(ds: DaemonSet, node: core_v1.Node) -> tuple[bool, bool]:
    """Whether a daemon should be started on ``node``, and whether one that runs there may stay."""
    spec = ds.spec.template.spec
    if spec.nodeName and spec.nodeName != node.metadata.name:
        return False, False
    if not nodefacts.fits_affinity(spec, node):
        return False, False
    known = tolerations(ds)
    if nodefacts.is_repelled(node, known, ("NoSchedule", "NoExecute")):
        return False, not nodefacts.is_repelled(node, known, ("NoExecute",))
    return True, True


def node_of(pod: core_v1.Pod) -> str:
    """The node on which ``pod`` is, or for which it was made."""
    if pod.spec.nodeName:
        return pod.spec.nodeName
    affinity = pod.spec.affinity.nodeAffinity if pod.spec.affinity is not None else None
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity is not None else None
    for term in required.nodeSelectorTerms if required is not None else ():
        for match in term.matchFields or ():
            if match.key == "metadata.name" and match.operator == "In" and len(match.values or ()) == 1:
                return (match.values or [""])[0]
    return ""


def by_node(pods: Sequence[core_v1.Pod]) -> dict[str, list[core_v1.Pod]]:
    """Per node, without Pods that have ended and are only waiting to be removed."""
    found: dict[str, list[core_v1.Pod]] = defaultdict(list)
    for pod in pods:
        if not (podfacts.is_finished(pod) and pod.metadata.deletionTimestamp is not None):
            found[node_of(pod)].append(pod)
    return found


def is_updated(ds: DaemonSet, pod: core_v1.Pod, digest: str) -> bool:
    labels = pod.metadata.labels
    generation = ds.metadata.annotations.get(GENERATION_ANNOTATION)
    if generation is not None and labels.get(TEMPLATE_GENERATION) == generation:
        return True
    return bool(digest) and labels.get(POD_HASH) == digest


def age_key(pod: core_v1.Pod) -> tuple[bool, str, str]:
    """Oldest first; those on a node before those that wait for one."""
    return not pod.spec.nodeName, pod.metadata.creationTimestamp or "", pod.metadata.name


def allows_surge(ds: DaemonSet) -> bool:
    rolling = ds.spec.updateStrategy.rollingUpdate
    return (
        ds.spec.updateStrategy.type == "RollingUpdate"
        and rolling is not None
        and (rolling.maxSurge not in (None, 0, "0%"))
    )


def managed(
    ds: DaemonSet,
    nodes: Sequence[core_v1.Node],
    pods: Mapping[str, list[core_v1.Pod]],
    digest: str,
    failed_wait: Callable[[str], float],
    now: datetime,
) -> Changes:
    """What is missing or too much, whatever the template.

    ``failed_wait`` says how long a failed Pod on a node is still to be left alone; 0 notes that it is deleted.
    """
    changes = Changes()
    for node in nodes:
        name = node.metadata.name
        here = pods.get(name, [])
        should_run, may_stay = belongs(ds, node)
        if should_run and not here:
            changes.create.append(name)
        elif may_stay:
            running = _weed(changes, name, here, failed_wait)
            changes.delete += _surplus(ds, running, digest, now)
        else:
            changes.delete += [pod for pod in here if pod.metadata.deletionTimestamp is None]
    names = {node.metadata.name for node in nodes}
    for name, lost in pods.items():
        if name not in names:
            # No scheduler and no collector will ever see to these.
            changes.delete += [p for p in lost if not p.spec.nodeName and p.metadata.deletionTimestamp is None]
    return changes


def _weed(
    changes: Changes, node: str, pods: Sequence[core_v1.Pod], failed_wait: Callable[[str], float]
) -> list[core_v1.Pod]:
    """Those that run; those that ended are deleted, failed ones with back-off."""
    running: list[core_v1.Pod] = []
    for pod in pods:
        if pod.metadata.deletionTimestamp is not None:
            continue
        what = f"daemon pod {pod.metadata.namespace}/{pod.metadata.name} on node {node}, will try to"
        if pod.status.phase == "Failed":
            wait = failed_wait(node)
            if wait > 0:
                changes.wait = min(wait, changes.wait or wait)
                continue
            changes.events.append(("Warning", "FailedDaemonPod", f"Found failed {what} kill it"))
            changes.delete.append(pod)
        elif pod.status.phase == "Succeeded":
            changes.events.append(("Normal", "SucceededDaemonPod", f"Found succeeded {what} delete it"))
            changes.delete.append(pod)
        else:
            running.append(pod)
    return running


def _surplus(ds: DaemonSet, running: Sequence[core_v1.Pod], digest: str, now: datetime) -> list[core_v1.Pod]:
    """All but the oldest; while surging, all but the oldest of the old and of the new template."""
    if len(running) <= 1:
        return []
    ordered = sorted(running, key=age_key)
    if not allows_surge(ds):
        return ordered[1:]
    new = [pod for pod in ordered if is_updated(ds, pod, digest)]
    old = [pod for pod in ordered if not is_updated(ds, pod, digest)]
    extra = new[1:] + old[1:]
    if new and old:
        available = podfacts.is_available(new[0], ds.spec.minReadySeconds or 0, now)
        if available or not podfacts.is_ready(old[0]):
            extra.append(old[0])
    return extra


def new_pod(ds: DaemonSet, node: str, digest: str) -> core_v1.Pod:
    """The Pod for ``node``: an affinity to its name makes the scheduler place it there."""
    template = codec.copy(ds.spec.template)
    labels = {**template.metadata.labels, POD_HASH: digest}
    generation = ds.metadata.annotations.get(GENERATION_ANNOTATION)
    if generation is not None:
        labels[TEMPLATE_GENERATION] = generation
    spec = template.spec
    spec.tolerations = tolerations(ds)
    spec.affinity = spec.affinity or core_v1.Affinity()
    spec.affinity.nodeAffinity = spec.affinity.nodeAffinity or core_v1.NodeAffinity()
    requirement = core_v1.NodeSelectorRequirement(key="metadata.name", operator="In", values=[node])
    # What the template asks for itself has been found true of the node already.
    spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution = core_v1.NodeSelector(
        nodeSelectorTerms=[core_v1.NodeSelectorTerm(matchFields=[requirement])]
    )
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            generateName=f"{ds.metadata.name}-",
            namespace=ds.metadata.namespace,
            labels=labels,
            annotations=template.metadata.annotations,
            finalizers=template.metadata.finalizers,
            ownerReferences=[meta.owner_reference(ds, controller=True)],
        ),
        spec=spec,
    )
