"""The volumes behind a Pod's claims: found through the API, planned as directories of this node.

Source: Kubernetes docs, "Persistent Volumes", "Claims As Volumes".
"""

from collections.abc import Mapping
from pathlib import Path

from tiphys.api import core_v1
from tiphys.client import Client
from tiphys.kubelet.volumes.payload import PayloadError
from tiphys.kubelet.volumes.plan import PlannedVolume
from tiphys.machinery import errors
from tiphys.resources.storage import local_path


def claim_name(pod: core_v1.Pod, volume: core_v1.Volume) -> str:
    """The claim that a volume of the Pod stands for; empty for other volumes."""
    if volume.persistentVolumeClaim is not None:
        return volume.persistentVolumeClaim.claimName
    return f"{pod.metadata.name}-{volume.name}" if volume.ephemeral is not None else ""


async def found(client: Client, pod: core_v1.Pod, node_name: str) -> Mapping[str, PlannedVolume]:
    """Volume name → plan, for the volumes that are claims. Raises PayloadError and StatusError."""
    planned = {}
    for volume in pod.spec.volumes or ():
        if name := claim_name(pod, volume):
            planned[volume.name] = _planned(volume, await _volume_of(client, pod, name), node_name)
    return planned


async def _volume_of(client: Client, pod: core_v1.Pod, name: str) -> core_v1.PersistentVolume:
    namespace = pod.metadata.namespace
    what = f"error processing PVC {namespace}/{name}: "
    try:
        claim = await client.of(core_v1.PersistentVolumeClaim).get(name, namespace)
        if claim.metadata.deletionTimestamp is not None:
            raise PayloadError(what + "PVC is being deleted")
        if claim.status.phase != "Bound" or not claim.spec.volumeName:
            raise PayloadError(what + "PVC is not bound")
        volume = await client.of(core_v1.PersistentVolume).get(claim.spec.volumeName)
    except errors.NotFound as problem:
        raise PayloadError(f"{what}failed to fetch PVC from API server: {problem.message}") from problem
    ref = volume.spec.claimRef
    if ref is None or ref.uid != claim.metadata.uid:
        raise PayloadError(f"{what}PersistentVolume is not bound to this claim")
    return volume


def _planned(volume: core_v1.Volume, bound: core_v1.PersistentVolume, node_name: str) -> PlannedVolume:
    source, spec = volume.persistentVolumeClaim, bound.spec
    read_only = bool(source and source.readOnly)
    if (spec.volumeMode or "Filesystem") == "Block":
        return _unavailable(volume, "volumeMode Block is not available on this node")
    if spec.hostPath is not None:
        path = Path(spec.hostPath.path)
        if local_path.is_on(bound, node_name):
            return PlannedVolume(volume.name, "directory", path, volume, read_only=read_only)
        return PlannedVolume(volume.name, "hostPath", path, _as_host_path(volume.name, spec.hostPath), "", read_only)
    if spec.local is not None:
        there = core_v1.HostPathVolumeSource(path=spec.local.path, type="Directory")
        path = Path(spec.local.path)
        return PlannedVolume(volume.name, "hostPath", path, _as_host_path(volume.name, there), "", read_only)
    kinds = (field for field in spec.__struct_fields__ if field in core_v1.Volume.__struct_fields__)
    field = next((field for field in kinds if getattr(spec, field) is not None), "its kind")
    return _unavailable(volume, f"no volume plugin matched: {field} is not available on this node")


def _as_host_path(name: str, source: core_v1.HostPathVolumeSource) -> core_v1.Volume:
    return core_v1.Volume(name=name, hostPath=source)


def _unavailable(volume: core_v1.Volume, why: str) -> PlannedVolume:
    return PlannedVolume(volume.name, "unavailable", Path("/nonexistent"), volume, why)
