"""What Kubernetes fills in where a Pod, or a template of one, is silent.

Source: Kubernetes, package apis/core/v1 defaults, by behaviour.
"""

from collections.abc import Iterable
from functools import lru_cache

from tiphys.api import core_v1
from tiphys.api.scalars import Quantity

DEFAULT_MODE = 0o644
ZERO = Quantity("0")
AnyContainer = core_v1.Container | core_v1.EphemeralContainer


def default_pod(pod: core_v1.Pod) -> None:
    """All defaults of a Pod; of what has defaults only in Pods, not in templates, see here."""
    spec = pod.spec
    default_pod_spec(spec)
    for container in containers_of(spec):
        _default_requests(container.resources)
    if spec.resources is not None:
        _default_pod_requests(spec)
    if spec.enableServiceLinks is None:
        spec.enableServiceLinks = True
    if spec.hostNetwork:
        for container in containers_of(spec):
            for port in container.ports or ():
                if not port.hostPort:
                    port.hostPort = port.containerPort


def containers_of(spec: core_v1.PodSpec) -> Iterable[core_v1.Container]:
    """Containers, then init containers."""
    return (*spec.containers, *spec.initContainers) if spec.initContainers else spec.containers


def _default_requests(resources: core_v1.ResourceRequirements) -> None:
    if resources.limits:
        resources.requests = {**resources.limits, **(resources.requests or {})}


def _default_pod_requests(spec: core_v1.PodSpec) -> None:
    """Pod-level requests follow pod-level limits where no container asks for the resource itself."""
    resources = spec.resources
    if resources is None or not resources.limits:
        return
    requests = dict(resources.requests or {})
    for name, limit in resources.limits.items():
        asked = any(name in (container.resources.requests or {}) for container in containers_of(spec))
        if name not in requests and not asked:
            requests[name] = limit
    if requests:
        resources.requests = requests


def default_pod_spec(spec: core_v1.PodSpec) -> None:
    """Defaults that hold in Pods and in templates."""
    if not spec.dnsPolicy:
        spec.dnsPolicy = "ClusterFirst"
    if not spec.restartPolicy:
        spec.restartPolicy = "Always"
    if not spec.schedulerName:
        spec.schedulerName = "default-scheduler"
    if spec.securityContext is None:
        spec.securityContext = core_v1.PodSecurityContext()
    if spec.terminationGracePeriodSeconds is None:
        spec.terminationGracePeriodSeconds = 30
    _default_service_account(spec)
    for volume in spec.volumes or ():
        default_volume(volume)
    for container in containers_of(spec):
        _default_container(container)
    for ephemeral in spec.ephemeralContainers or ():
        _default_container(ephemeral)


def _default_service_account(spec: core_v1.PodSpec) -> None:
    """``serviceAccount`` is the old name of ``serviceAccountName``; the new one wins, both are shown."""
    if spec.serviceAccountName:
        spec.serviceAccount = spec.serviceAccountName
    elif spec.serviceAccount:
        spec.serviceAccountName = spec.serviceAccount


def _default_container(container: AnyContainer) -> None:
    if not container.imagePullPolicy:
        container.imagePullPolicy = pull_policy(container.image or "")
    if not container.terminationMessagePath:
        container.terminationMessagePath = "/dev/termination-log"
    if not container.terminationMessagePolicy:
        container.terminationMessagePolicy = "File"
    for port in container.ports or ():
        if not port.protocol:
            port.protocol = "TCP"
    for variable in container.env or ():
        if variable.valueFrom is not None:
            _default_field_reference(variable.valueFrom)
    _default_probe(container.livenessProbe)
    _default_probe(container.readinessProbe)
    _default_probe(container.startupProbe)
    if container.lifecycle is not None:
        for handler in (container.lifecycle.postStart, container.lifecycle.preStop):
            if handler is not None:
                _default_http(handler.httpGet)


@lru_cache(maxsize=4096)
def pull_policy(image: str) -> str:
    """Always for the tag ``latest``, written or meant; IfNotPresent for other tags and for digests."""
    if "@" in image:
        return "IfNotPresent"
    _, separator, tag = image.rpartition("/")[2].partition(":")
    return "IfNotPresent" if separator and tag != "latest" else "Always"


def _default_field_reference(source: core_v1.EnvVarSource | core_v1.DownwardAPIVolumeFile) -> None:
    if source.fieldRef is not None and not source.fieldRef.apiVersion:
        source.fieldRef.apiVersion = "v1"
    if source.resourceFieldRef is not None and source.resourceFieldRef.divisor is None:
        source.resourceFieldRef.divisor = ZERO


def _default_probe(probe: core_v1.Probe | None) -> None:
    if probe is None:
        return
    probe.timeoutSeconds = probe.timeoutSeconds or 1
    probe.periodSeconds = probe.periodSeconds or 10
    probe.successThreshold = probe.successThreshold or 1
    probe.failureThreshold = probe.failureThreshold or 3
    _default_http(probe.httpGet)
    if probe.grpc is not None and probe.grpc.service is None:
        probe.grpc.service = ""


def _default_http(action: core_v1.HTTPGetAction | None) -> None:
    if action is None:
        return
    if not action.path:
        action.path = "/"
    if not action.scheme:
        action.scheme = "HTTP"


def default_volume(volume: core_v1.Volume) -> None:
    """A volume without a source is an empty directory."""
    if volume.emptyDir is not None:
        return
    if volume.configMap is not None:
        if volume.configMap.defaultMode is None:
            volume.configMap.defaultMode = DEFAULT_MODE
    elif volume.secret is not None:
        if volume.secret.defaultMode is None:
            volume.secret.defaultMode = DEFAULT_MODE
    elif volume.projected is not None:
        _default_projected(volume.projected)
    elif volume.hostPath is not None:
        if volume.hostPath.type is None:
            volume.hostPath.type = ""
    elif volume.downwardAPI is not None:
        if volume.downwardAPI.defaultMode is None:
            volume.downwardAPI.defaultMode = DEFAULT_MODE
        _default_files(volume.downwardAPI.items)
    elif not has_source(volume):
        volume.emptyDir = core_v1.EmptyDirVolumeSource()
    else:
        _default_other_source(volume)


def has_source(volume: core_v1.Volume) -> bool:
    return any(getattr(volume, name) is not None for name in SOURCES)


SOURCES = tuple(name for name in core_v1.Volume.__struct_fields__ if name != "name")


def _default_projected(source: core_v1.ProjectedVolumeSource) -> None:
    if source.defaultMode is None:
        source.defaultMode = DEFAULT_MODE
    for projection in source.sources or ():
        if projection.downwardAPI is not None:
            _default_files(projection.downwardAPI.items)
        token = projection.serviceAccountToken
        if token is not None and token.expirationSeconds is None:
            token.expirationSeconds = 3600


def _default_files(files: list[core_v1.DownwardAPIVolumeFile] | None) -> None:
    for file in files or ():
        _default_field_reference(file)


def _default_other_source(volume: core_v1.Volume) -> None:
    if volume.image is not None and not volume.image.pullPolicy:
        volume.image.pullPolicy = pull_policy(volume.image.reference or "")
    if volume.iscsi is not None and not volume.iscsi.iscsiInterface:
        volume.iscsi.iscsiInterface = "default"
    template = volume.ephemeral and volume.ephemeral.volumeClaimTemplate
    if template and not template.spec.volumeMode:
        template.spec.volumeMode = "Filesystem"
    if volume.rbd is not None:
        volume.rbd.pool = volume.rbd.pool or "rbd"
        volume.rbd.user = volume.rbd.user or "admin"
        volume.rbd.keyring = volume.rbd.keyring or "/etc/ceph/keyring"
