"""What makes a Pod of a StatefulSet that Pod: name, labels, host name, volumes. Pure."""

from tiphys.api import apps_v1, core_v1, meta_v1
from tiphys.controllers.revisions import POD_HASH
from tiphys.machinery import codec, meta

StatefulSet = apps_v1.StatefulSet

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


def replicas_of(sts: StatefulSet) -> int:
    return 1 if sts.spec.replicas is None else sts.spec.replicas


def start_of(sts: StatefulSet) -> int:
    return (sts.spec.ordinals.start or 0) if sts.spec.ordinals is not None else 0


def parent_and_ordinal(name: str) -> tuple[str, int]:
    """``web`` and 3 of ``web-3``; an ordinal of -1 if the name has none."""
    parent, dash, number = name.rpartition("-")
    is_number = bool(dash) and number.isascii() and number.isdigit() and (number == "0" or number[0] != "0")
    return (parent, int(number)) if is_number else ("", -1)


def is_member(sts: StatefulSet, pod: core_v1.Pod) -> bool:
    return parent_and_ordinal(pod.metadata.name)[0] == sts.metadata.name


def ordinal_of(pod: core_v1.Pod) -> int:
    return parent_and_ordinal(pod.metadata.name)[1]


def revision_of(pod: core_v1.Pod) -> str:
    return pod.metadata.labels.get(POD_HASH, "")


def claim_name(template: core_v1.PersistentVolumeClaim, sts: StatefulSet, ordinal: int) -> str:
    return f"{template.metadata.name}-{sts.metadata.name}-{ordinal}"


def _volumes(sts: StatefulSet, ordinal: int, volumes: list[core_v1.Volume] | None) -> list[core_v1.Volume] | None:
    """``volumes`` with those of the claim templates, which win over others of their name."""
    own = [
        core_v1.Volume(
            name=template.metadata.name,
            persistentVolumeClaim=core_v1.PersistentVolumeClaimVolumeSource(
                claimName=claim_name(template, sts, ordinal)
            ),
        )
        for template in sts.spec.volumeClaimTemplates or ()
    ]
    names = {volume.name for volume in own}
    return [*own, *(volume for volume in volumes or () if volume.name not in names)] or None


def new_pod(sts: StatefulSet, template: core_v1.PodTemplateSpec, revision: str, ordinal: int) -> core_v1.Pod:
    made = codec.copy(template)
    name = f"{sts.metadata.name}-{ordinal}"
    spec = made.spec
    spec.hostname = name
    spec.subdomain = sts.spec.serviceName or None
    spec.volumes = _volumes(sts, ordinal, spec.volumes)
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            name=name,
            namespace=sts.metadata.namespace,
            labels={**made.metadata.labels, POD_NAME: name, POD_INDEX: str(ordinal), POD_HASH: revision},
            annotations=made.metadata.annotations,
            finalizers=made.metadata.finalizers,
            ownerReferences=[meta.owner_reference(sts, controller=True)],
        ),
        spec=spec,
    )


def repaired(sts: StatefulSet, pod: core_v1.Pod) -> core_v1.Pod | None:
    """``pod`` with its identity restored; None if it has not lost it."""
    name, ordinal = pod.metadata.name, ordinal_of(pod)
    wanted = {POD_NAME: name, POD_INDEX: str(ordinal)}
    labels_kept = wanted.items() <= pod.metadata.labels.items()
    held = {
        (volume.name, volume.persistentVolumeClaim.claimName)
        for volume in pod.spec.volumes or ()
        if volume.persistentVolumeClaim is not None
    }
    templates = sts.spec.volumeClaimTemplates or ()
    storage_kept = all((t.metadata.name, claim_name(t, sts, ordinal)) in held for t in templates)
    if labels_kept and storage_kept:
        return None
    fixed = codec.copy(pod)
    fixed.metadata.labels = {**fixed.metadata.labels, **wanted}
    fixed.spec.volumes = _volumes(sts, ordinal, fixed.spec.volumes)
    return fixed
