"""Validation of a Pod's volumes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.core.pod import environment, mounts
from tiphys.resources.core.pod.defaults import SOURCES

ONE_TYPE = "may not specify more than 1 volume type"
MODE = "must be a number between 0 and 0777 (octal), both inclusive"
HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)


def validate_volumes(errs: Errors, path: str, volumes: Sequence[core_v1.Volume]) -> dict[str, core_v1.Volume]:
    """The volumes that mounts may name."""
    known: dict[str, core_v1.Volume] = {}
    for index, volume in enumerate(volumes):
        if not volume.name or checks.dns1123_label(volume.name):
            checks.required_form(errs, f"{path}[{index}].name", volume.name, checks.dns1123_label)
        elif volume.name in known:
            errs.append(fields.duplicate(f"{path}[{index}].name", volume.name))
        else:
            known[volume.name] = volume
        _source(errs, f"{path}[{index}]", volume)
    return known


def _source(errs: Errors, path: str, volume: core_v1.Volume) -> None:
    present = [name for name in SOURCES if getattr(volume, name) is not None]
    if not present:
        errs.append(fields.required(path, "must specify a volume type"))
        return
    if len(present) > 1:
        checks.at_most_one(errs, path, present, ONE_TYPE)
    check = _SOURCES.get(present[0])
    if check is not None:
        check(errs, f"{path}.{present[0]}", getattr(volume, present[0]))


def _empty_dir(errs: Errors, path: str, source: core_v1.EmptyDirVolumeSource) -> None:
    if source.sizeLimit is not None and source.sizeLimit.startswith("-"):
        errs.append(fields.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity"))


def _host_path(errs: Errors, path: str, source: core_v1.HostPathVolumeSource) -> None:
    if not source.path:
        errs.append(fields.required(f"{path}.path"))
        return
    mounts.no_backsteps(errs, f"{path}.path", source.path)
    if source.type is not None:
        checks.one_of(errs, f"{path}.type", source.type, HOST_PATH_TYPES)


def _mode(errs: Errors, path: str, mode: int | None) -> None:
    if mode is not None and not 0 <= mode <= 0o777:
        errs.append(fields.invalid(path, mode, MODE))


def _items(errs: Errors, path: str, items: Iterable[core_v1.KeyToPath] | None) -> None:
    for index, item in enumerate(items or ()):
        here = f"{path}.items[{index}]"
        if not item.key:
            errs.append(fields.required(f"{here}.key"))
        _local_path(errs, f"{here}.path", item.path)
        _mode(errs, f"{here}.mode", item.mode)


def _local_path(errs: Errors, path: str, value: str) -> None:
    if not value:
        errs.append(fields.required(path))
        return
    mounts.local_descending_path(errs, path, value)
    if value.startswith("..") and not value.startswith("../"):
        errs.append(fields.invalid(path, value, "must not start with '..'"))


def _secret(errs: Errors, path: str, source: core_v1.SecretVolumeSource) -> None:
    if not source.secretName:
        errs.append(fields.required(f"{path}.secretName"))
    _mode(errs, f"{path}.defaultMode", source.defaultMode)
    _items(errs, path, source.items)


def _config_map(errs: Errors, path: str, source: core_v1.ConfigMapVolumeSource) -> None:
    if not source.name:
        errs.append(fields.required(f"{path}.name"))
    _mode(errs, f"{path}.defaultMode", source.defaultMode)
    _items(errs, path, source.items)


def _downward(errs: Errors, path: str, source: core_v1.DownwardAPIVolumeSource) -> None:
    _mode(errs, f"{path}.defaultMode", source.defaultMode)
    _files(errs, path, source.items)


def _files(errs: Errors, path: str, files: Iterable[core_v1.DownwardAPIVolumeFile] | None) -> None:
    for index, file in enumerate(files or ()):
        # Without the index, as in Kubernetes.
        _local_path(errs, f"{path}.path", file.path)
        if file.fieldRef is not None:
            environment.validate_field_reference(errs, f"{path}.fieldRef", file.fieldRef, environment.VOLUME_FIELDS)
            if file.resourceFieldRef is not None:
                detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
                errs.append(fields.invalid(path, f"items[{index}]", detail))
        elif file.resourceFieldRef is not None:
            here = f"{path}.resourceFieldRef"
            environment.validate_resource_reference(errs, here, file.resourceFieldRef, volume=True)
        else:
            errs.append(fields.required(path, "one of fieldRef and resourceFieldRef is required"))
        _mode(errs, f"{path}.mode", file.mode)


PROJECTIONS = ("secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate")


def _projected(errs: Errors, path: str, source: core_v1.ProjectedVolumeSource) -> None:
    taken: set[str] = set()
    for index, projection in enumerate(source.sources or ()):
        here = f"{path}.sources[{index}]"
        present = [name for name in PROJECTIONS if getattr(projection, name) is not None]
        if not present:
            errs.append(fields.required(here, "must specify at least one of the volume projection sources"))
            continue
        checks.at_most_one(errs, here, present, ONE_TYPE)
        _projection(errs, f"{here}.{present[0]}", getattr(projection, present[0]))
        for file in _paths(projection):
            if file in taken:
                errs.append(fields.invalid(path, file, "conflicting duplicate paths"))
            taken.add(file)
    _mode(errs, f"{path}.defaultMode", source.defaultMode)


def _projection(errs: Errors, path: str, projection: object) -> None:
    match projection:
        case core_v1.SecretProjection() | core_v1.ConfigMapProjection():
            if not projection.name:
                errs.append(fields.required(f"{path}.name"))
            _items(errs, path, projection.items)
        case core_v1.DownwardAPIProjection():
            _files(errs, path, projection.items)
        case core_v1.ServiceAccountTokenProjection():
            _token(errs, path, projection)
        case core_v1.ClusterTrustBundleProjection():
            _local_path(errs, f"{path}.path", projection.path)


def _token(errs: Errors, path: str, projection: core_v1.ServiceAccountTokenProjection) -> None:
    seconds = projection.expirationSeconds or 0
    if seconds < 10 * 60:
        errs.append(
            fields.invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
        )
    if seconds > 1 << 32:
        errs.append(
            fields.invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
        )
    _local_path(errs, f"{path}.path", projection.path)


def _paths(projection: core_v1.VolumeProjection) -> list[str]:
    listed = projection.secret or projection.configMap
    if listed:
        return [item.path for item in listed.items or ()]
    if projection.downwardAPI:
        return [file.path for file in projection.downwardAPI.items or ()]
    single = projection.serviceAccountToken or projection.clusterTrustBundle
    return [single.path] if single else []


def _requires(*names: str) -> Callable[[Errors, str, Any], None]:
    def check(errs: Errors, path: str, source: Any) -> None:
        for name in names:
            if not getattr(source, name):
                errs.append(fields.required(f"{path}.{name}"))

    return check


def _nfs(errs: Errors, path: str, source: core_v1.NFSVolumeSource) -> None:
    _requires("server", "path")(errs, path, source)
    if source.path and not source.path.startswith("/"):
        errs.append(fields.invalid(f"{path}.path", source.path, "must be an absolute path"))


def _image(errs: Errors, path: str, source: core_v1.ImageVolumeSource) -> None:
    if not source.reference:
        errs.append(fields.required(f"{path}.reference"))
    checks.required_one_of(errs, f"{path}.pullPolicy", source.pullPolicy, ("Always", "IfNotPresent", "Never"))


#: Volume types that only other systems can serve are checked for presence of their source alone.
_SOURCES: dict[str, Callable[[Errors, str, Any], None]] = {
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "secret": _secret,
    "configMap": _config_map,
    "downwardAPI": _downward,
    "projected": _projected,
    "persistentVolumeClaim": _requires("claimName"),
    "ephemeral": _requires("volumeClaimTemplate"),
    "nfs": _nfs,
    "csi": _requires("driver"),
    "image": _image,
}
#: Those that PersistentVolumes have as well.
SHARED: Mapping[str, Callable[[Errors, str, Any], None]] = {name: _SOURCES[name] for name in ("hostPath", "nfs")}
