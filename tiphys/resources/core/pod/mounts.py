"""Validation of what a container mounts."""

from collections.abc import Mapping

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors

PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
RECURSIVE_READ_ONLY = ("Disabled", "Enabled", "IfPossible")


def validate_mounts(
    errs: Errors,
    path: str,
    container: core_v1.Container | core_v1.EphemeralContainer,
    volumes: Mapping[str, core_v1.Volume],
) -> None:
    devices = {device.name: device.devicePath for device in container.volumeDevices or ()}
    taken: set[str] = set()
    for index, mount in enumerate(container.volumeMounts or ()):
        volume = volumes.get(mount.name)
        if not mount.name:
            errs.append(fields.required(f"{path}[{index}].name"))
        if volume is None:
            errs.append(fields.not_found(f"{path}[{index}].name", mount.name))
        if not mount.mountPath:
            errs.append(fields.required(f"{path}[{index}].mountPath"))
        if mount.mountPath in taken:
            errs.append(fields.invalid(f"{path}[{index}].mountPath", mount.mountPath, "must be unique"))
        taken.add(mount.mountPath)
        if devices:
            _beside_devices(errs, f"{path}[{index}]", mount, devices)
        if volume is not None and volume.image is not None and mount.subPathExpr:
            detail = "not allowed in image volume sources"
            errs.append(fields.invalid(f"{path}[{index}].subPathExpr", mount.subPathExpr, detail))
        if mount.subPath or mount.subPathExpr:
            _sub_paths(errs, path, index, mount)
        if mount.mountPropagation is not None:
            _propagation(errs, path, mount.mountPropagation, container.securityContext)
        if mount.recursiveReadOnly is not None:
            _recursive_read_only(errs, path, mount)


def _beside_devices(errs: Errors, path: str, mount: core_v1.VolumeMount, devices: Mapping[str, str]) -> None:
    if mount.name in devices:
        errs.append(fields.invalid(f"{path}.name", mount.name, "must not already exist in volumeDevices"))
    if mount.mountPath in devices.values():
        detail = "must not already exist as a path in volumeDevices"
        errs.append(fields.invalid(f"{path}.mountPath", mount.mountPath, detail))


def _sub_paths(errs: Errors, path: str, index: int, mount: core_v1.VolumeMount) -> None:
    # The paths of sub path errors lack the index, as in Kubernetes.
    if mount.subPath:
        local_descending_path(errs, f"{path}.subPath", mount.subPath)
    if mount.subPathExpr:
        if mount.subPath:
            detail = "subPathExpr and subPath are mutually exclusive"
            errs.append(fields.invalid(f"{path}[{index}].subPathExpr", mount.subPathExpr, detail))
        local_descending_path(errs, f"{path}.subPathExpr", mount.subPathExpr)


def _propagation(errs: Errors, path: str, value: str, context: core_v1.SecurityContext | None) -> None:
    here = f"{path}.mountPropagation"
    checks.one_of(errs, here, value, PROPAGATIONS)
    if value == "Bidirectional" and not (context and context.privileged):
        errs.append(
            fields.forbidden(here, "Bidirectional mount propagation is available only to privileged containers")
        )


def _recursive_read_only(errs: Errors, path: str, mount: core_v1.VolumeMount) -> None:
    here = f"{path}.recursiveReadOnly"
    value = mount.recursiveReadOnly
    if value in ("Enabled", "IfPossible"):
        if not mount.readOnly:
            errs.append(fields.forbidden(here, "may only be specified when readOnly is true"))
        if mount.mountPropagation not in (None, "None"):
            detail = "may only be specified when mountPropagation is None or not specified"
            errs.append(fields.forbidden(here, detail))
    else:
        checks.one_of(errs, here, value, RECURSIVE_READ_ONLY)


def local_descending_path(errs: Errors, path: str, value: str) -> None:
    if value.startswith("/"):
        errs.append(fields.invalid(path, value, "must be a relative path"))
    no_backsteps(errs, path, value)


def no_backsteps(errs: Errors, path: str, value: str) -> None:
    if ".." in value.split("/"):
        errs.append(fields.invalid(path, value, "must not contain '..'"))


def validate_devices(
    errs: Errors,
    path: str,
    container: core_v1.Container | core_v1.EphemeralContainer,
    volumes: Mapping[str, core_v1.Volume],
) -> None:
    mounts = {mount.name: mount.mountPath for mount in container.volumeMounts or ()}
    names: set[str] = set()
    paths: set[str] = set()
    for index, device in enumerate(container.volumeDevices or ()):
        here = f"{path}[{index}]"
        volume = volumes.get(device.name)
        if not device.name:
            errs.append(fields.required(f"{here}.name"))
        if device.name in names:
            errs.append(fields.invalid(f"{here}.name", device.name, "must be unique"))
        if volume is None:
            errs.append(fields.not_found(f"{here}.name", device.name))
        elif volume.persistentVolumeClaim is None and volume.ephemeral is None:
            detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errs.append(fields.invalid(f"{here}.name", device.name, detail))
        if not device.devicePath:
            errs.append(fields.required(f"{here}.devicePath"))
        if device.devicePath in paths:
            errs.append(fields.invalid(f"{here}.devicePath", device.devicePath, "must be unique"))
        if ".." in device.devicePath.split("/"):
            errs.append(fields.invalid(f"{here}.devicePath", device.devicePath, "can not contain backsteps ('..')"))
        if device.name in mounts:
            errs.append(fields.invalid(f"{here}.name", device.name, "must not already exist in volumeMounts"))
        if device.devicePath in mounts.values():
            detail = "must not already exist as a path in volumeMounts"
            errs.append(fields.invalid(f"{here}.devicePath", device.devicePath, detail))
        names.add(device.name)
        paths.add(device.devicePath)
