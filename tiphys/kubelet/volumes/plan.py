"""Where each volume of a Pod lies on the node, and where a container sees it. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from tiphys.api import core_v1
from tiphys.kubelet import restart
from tiphys.kubelet.environment import ConfigError
from tiphys.kubelet.expansion import expand

VolumeKind = Literal["emptyDir", "memory", "hostPath", "directory", "objects", "image", "unavailable"]

_PLUGINS: dict[str, str] = {
    "emptyDir": "kubernetes.io~empty-dir",
    "configMap": "kubernetes.io~configmap",
    "secret": "kubernetes.io~secret",
    "downwardAPI": "kubernetes.io~downward-api",
    "projected": "kubernetes.io~projected",
}


@dataclass(frozen=True, slots=True)
class PlannedVolume:
    """``path`` is on the host; a ``directory`` is made there and outlives the Pod. ``why`` says what is missing for
    kind ``unavailable``."""

    name: str
    kind: VolumeKind
    path: Path
    volume: core_v1.Volume
    why: str = ""
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class PlannedMount:
    """``sub_path`` is below the volume and may have to be made."""

    volume: str
    host_path: Path
    container_path: str
    read_only: bool
    propagation: str
    sub_path: str = ""
    recursive_read_only: bool = False
    #: The image that is mounted instead of a host path, as the runtime knows it.
    image: str = ""


def planned_volumes(
    pod: core_v1.Pod, pod_directory: Path, claimed: Mapping[str, PlannedVolume] = MappingProxyType({})
) -> list[PlannedVolume]:
    """``claimed`` are the volumes behind claims, by the names that the Pod has for them."""
    return [claimed.get(volume.name) or _planned(volume, pod_directory) for volume in pod.spec.volumes or ()]


def _planned(volume: core_v1.Volume, pod_directory: Path) -> PlannedVolume:
    name = volume.name
    if volume.hostPath is not None:
        return PlannedVolume(name, "hostPath", Path(volume.hostPath.path), volume)
    for field, plugin in _PLUGINS.items():
        source = getattr(volume, field)
        if source is None:
            continue
        path = pod_directory / "volumes" / plugin / name
        if field != "emptyDir":
            return PlannedVolume(name, "objects", path, volume)
        medium = source.medium or ""
        if medium in ("", "Memory"):
            return PlannedVolume(name, "memory" if medium else "emptyDir", path, volume)
        return PlannedVolume(name, "unavailable", path, volume, f'medium "{medium}" is not available on this node')
    if volume.image is not None:
        return PlannedVolume(name, "image", pod_directory / "volumes" / "none" / name, volume, read_only=True)
    if volume.persistentVolumeClaim is not None or volume.ephemeral is not None:
        why = "its claim has not been looked for yet"
    elif not any(getattr(volume, f) is not None for f in volume.__struct_fields__ if f != "name"):
        # Defaulting makes an emptyDir of it; a Pod that did not pass there gets the same.
        path = pod_directory / "volumes" / _PLUGINS["emptyDir"] / name
        return PlannedVolume(name, "emptyDir", path, volume)
    else:
        field = next(f for f in volume.__struct_fields__ if f != "name" and getattr(volume, f) is not None)
        why = f"no volume plugin matched: {field} is not available on this node"
    return PlannedVolume(name, "unavailable", pod_directory / "volumes" / "none" / name, volume, why)


def planned_mounts(
    container: restart.AnyContainer,
    volumes: Mapping[str, PlannedVolume],
    variables: Mapping[str, str],
    images: Mapping[str, str] = MappingProxyType({}),
) -> list[PlannedMount]:
    """``images`` are those of image volumes, by volume. Raises ConfigError where a subPath cannot be."""
    result: list[PlannedMount] = []
    for mount in container.volumeMounts or ():
        volume = volumes.get(mount.name)
        if volume is None:
            raise ConfigError(f'cannot find volume "{mount.name}" to mount into container "{container.name}"')
        sub_path = mount.subPath or ""
        if mount.subPathExpr:
            sub_path = expand(mount.subPathExpr, variables, _refuse)
        if sub_path.startswith("/"):
            raise ConfigError(f"error SubPath `{sub_path}` must not be an absolute path")
        if ".." in sub_path.split("/"):
            raise ConfigError(f"unable to provision SubPath `{sub_path}`: must not contain '..'")
        always_read_only = volume.kind == "objects" or volume.read_only
        container_path = mount.mountPath if mount.mountPath.startswith("/") else f"/{mount.mountPath}"
        result.append(
            PlannedMount(
                volume=mount.name,
                host_path=volume.path / sub_path if sub_path else volume.path,
                container_path=container_path,
                read_only=bool(mount.readOnly) or always_read_only,
                propagation=mount.mountPropagation or "None",
                sub_path=sub_path,
                recursive_read_only=mount.recursiveReadOnly in ("Enabled", "IfPossible"),
                image=images.get(mount.name, ""),
            )
        )
    return result


def _refuse(name: str) -> None:
    raise ConfigError(f"missing value for {name!r} in subPathExpr".replace("'", '"'))


Resolve = Callable[[Path], Path]


def check_inside(root: Path, path: Path) -> None:
    """A subPath must not lead out of its volume through a link that the Pod has made. Raises ConfigError."""
    real_root, real = root.resolve(), path.resolve()
    if real != real_root and real_root not in real.parents:
        raise ConfigError(f"failed to prepare subPath for volumeMount: subpath {str(path)!r} not within volume path")
