"""What the runtime is told to make of a Pod and of each of its containers, as CRI messages. Pure.

Source: the CRI's own comments; the kubelet's behaviour for labels, log paths and cgroup names.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tiphys.api import core_v1
from tiphys.kubelet import labels, names, qos, restart, security
from tiphys.kubelet.environment import ConfigError
from tiphys.kubelet.expansion import expand
from tiphys.kubelet.volumes.plan import PlannedMount
from tiphys.machinery.goformat import quote
from tiphys.runtime.cri import api_pb2

_PROTOCOLS = {"TCP": api_pb2.TCP, "UDP": api_pb2.UDP, "SCTP": api_pb2.SCTP}
_PROPAGATION = {
    "None": api_pb2.PROPAGATION_PRIVATE,
    "HostToContainer": api_pb2.PROPAGATION_HOST_TO_CONTAINER,
    "Bidirectional": api_pb2.PROPAGATION_BIDIRECTIONAL,
}
DEFAULT_MESSAGE_PATH = "/dev/termination-log"


@dataclass(frozen=True, slots=True)
class Paths:
    """Where things of one Pod lie on the node."""

    pod_directory: Path
    log_directory: Path

    @property
    def hosts(self) -> Path:
        return self.pod_directory / "etc-hosts"

    def message(self, name: str, attempt: int) -> Path:
        return self.pod_directory / "containers" / name / str(attempt)


def log_directory_name(pod: core_v1.Pod) -> str:
    meta = pod.metadata
    return f"{meta.namespace}_{meta.name}_{meta.uid}"


def cgroup_parent(pod: core_v1.Pod, root: str) -> str:
    """Pods lie below their class of service, so that each class as a whole can be weighed against the others."""
    found = qos.qos_class(pod)
    middle = "" if found == "Guaranteed" else f"/{found.lower()}"
    base = root.rstrip("/")
    return f"{base}/kubepods{middle}/pod{pod.metadata.uid}"


def pod_resources(pod: core_v1.Pod) -> api_pb2.LinuxContainerResources:
    """The cgroup of the whole Pod: limits only where every container has one."""
    requests, limits = qos.pod_requests(pod), qos.pod_limits(pod)
    everyone = [*(pod.spec.initContainers or ()), *pod.spec.containers]
    level = (pod.spec.resources.limits if pod.spec.resources else None) or {}
    resources = api_pb2.LinuxContainerResources(
        cpu_shares=qos.shares(requests.get("cpu", 0)), cpu_period=qos.QUOTA_PERIOD_MICROSECONDS
    )
    if level.get("cpu") or qos.all_limited(everyone, "cpu"):
        resources.cpu_quota = qos.quota(limits.get("cpu", 0))
    if level.get("memory") or qos.all_limited(everyone, "memory"):
        resources.memory_limit_in_bytes = limits.get("memory", 0)
    return resources


def pod_weight(pod: core_v1.Pod) -> api_pb2.LinuxContainerResources:
    """What a resize changes of the Pod's cgroup."""
    return api_pb2.LinuxContainerResources(cpu_shares=qos.shares(qos.pod_requests(pod).get("cpu", 0)))


def changed(resources: api_pb2.LinuxContainerResources) -> api_pb2.LinuxContainerResources:
    """What a resize changes of a container's cgroup; 0 would mean "as it is", so no limit has to be said."""
    return api_pb2.LinuxContainerResources(
        cpu_shares=resources.cpu_shares,
        cpu_period=resources.cpu_period,
        cpu_quota=resources.cpu_quota or -1,
        memory_limit_in_bytes=resources.memory_limit_in_bytes or -1,
    )


def container_resources(
    pod: core_v1.Pod, container: restart.AnyContainer, memory_capacity: int
) -> api_pb2.LinuxContainerResources:
    wanted = container.resources
    milli_limit = qos.milli(wanted.limits, "cpu")
    milli_request = qos.milli(wanted.requests, "cpu") if "cpu" in (wanted.requests or {}) else milli_limit
    level = (pod.spec.resources.limits if pod.spec.resources else None) or {}
    resources = api_pb2.LinuxContainerResources(
        cpu_shares=qos.shares(milli_request),
        cpu_period=qos.QUOTA_PERIOD_MICROSECONDS,
        cpu_quota=qos.quota(milli_limit or qos.milli(level, "cpu")),
        memory_limit_in_bytes=qos.amount(wanted.limits, "memory") or qos.amount(level, "memory"),
        oom_score_adj=qos.oom_score_adj(pod, container, memory_capacity),
    )
    for name, text in (wanted.limits or {}).items():
        if name.startswith("hugepages-"):
            size = name.removeprefix("hugepages-").replace("Mi", "MB").replace("Gi", "GB")
            resources.hugepage_limits.add(page_size=size, limit=qos.amount({name: text}, name))
    return resources


def sandbox_config(
    pod: core_v1.Pod, attempt: int, paths: Paths, resolv: names.Resolv, hostname: str, cgroup_root: str
) -> api_pb2.PodSandboxConfig:
    meta = pod.metadata
    config = api_pb2.PodSandboxConfig(
        metadata=api_pb2.PodSandboxMetadata(name=meta.name, uid=meta.uid, namespace=meta.namespace, attempt=attempt),
        log_directory=str(paths.log_directory),
        dns_config=api_pb2.DNSConfig(servers=resolv.servers, searches=resolv.searches, options=resolv.options),
        labels={
            **meta.labels,
            labels.POD_NAME: meta.name,
            labels.POD_NAMESPACE: meta.namespace,
            labels.POD_UID: meta.uid,
        },
        annotations=meta.annotations,
        linux=api_pb2.LinuxPodSandboxConfig(
            cgroup_parent=cgroup_parent(pod, cgroup_root),
            security_context=security.sandbox_context(pod),
            resources=pod_resources(pod),
        ),
    )
    if not pod.spec.hostNetwork:
        config.hostname = hostname
        config.port_mappings.extend(_port_mappings(pod))
    for sysctl in (pod.spec.securityContext.sysctls if pod.spec.securityContext else None) or ():
        config.linux.sysctls[sysctl.name] = sysctl.value
    return config


def _port_mappings(pod: core_v1.Pod) -> list[api_pb2.PortMapping]:
    return [
        api_pb2.PortMapping(
            protocol=_PROTOCOLS[port.protocol or "TCP"],
            container_port=port.containerPort,
            host_port=port.hostPort,
            host_ip=port.hostIP or "",
        )
        for container in (*(c for c in pod.spec.initContainers or () if restart.is_sidecar(c)), *pod.spec.containers)
        for port in container.ports or ()
        if port.hostPort
    ]


def host_hosts() -> str:
    """The node's own /etc/hosts."""
    try:
        return Path("/etc/hosts").read_text()
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Made:
    """What has been found out for one container before it is created."""

    image_ref: str
    variables: Mapping[str, str]
    mounts: Sequence[PlannedMount]
    attempt: int
    image_user: str = ""
    image_uid: int | None = None
    target_id: str = ""
    memory_capacity: int = 0
    with_hosts: bool = True


def container_config(
    pod: core_v1.Pod, container: restart.AnyContainer, kind: str, made: Made, paths: Paths
) -> api_pb2.ContainerConfig:
    """Raises ConfigError for what the node refuses."""
    security.check_non_root(pod, container, made.image_uid, made.image_user)
    variables = made.variables
    message_file = paths.message(container.name, made.attempt)
    message_path = container.terminationMessagePath or DEFAULT_MESSAGE_PATH
    config = api_pb2.ContainerConfig(
        metadata=api_pb2.ContainerMetadata(name=container.name, attempt=made.attempt),
        image=api_pb2.ImageSpec(image=made.image_ref, user_specified_image=container.image or ""),
        command=[expand(text, variables) for text in container.command or ()],
        args=[expand(text, variables) for text in container.args or ()],
        working_dir=container.workingDir or "",
        envs=[api_pb2.KeyValue(key=name, value=text) for name, text in variables.items()],
        labels={
            labels.CONTAINER_NAME: container.name,
            labels.CONTAINER_TYPE: kind,
            labels.POD_NAME: pod.metadata.name,
            labels.POD_NAMESPACE: pod.metadata.namespace,
            labels.POD_UID: pod.metadata.uid,
        },
        annotations=_annotations(pod, container, made.attempt, message_path, message_file),
        log_path=f"{container.name}/{made.attempt}.log",
        stdin=bool(container.stdin),
        stdin_once=bool(container.stdinOnce),
        tty=bool(container.tty),
        linux=api_pb2.LinuxContainerConfig(
            resources=container_resources(pod, container, made.memory_capacity),
            security_context=security.container_context(pod, container, made.image_user, made.target_id),
        ),
    )
    signal = container.lifecycle.stopSignal if container.lifecycle else None
    if signal:
        config.stop_signal = signal_of(signal)
    config.mounts.extend(_mount(m, container) for m in made.mounts)
    mounted = {m.container_path for m in made.mounts}
    if made.with_hosts and "/etc/hosts" not in mounted:
        config.mounts.add(container_path="/etc/hosts", host_path=str(paths.hosts), readonly=_read_only_root(container))
    if message_path not in mounted:
        config.mounts.add(container_path=message_path, host_path=str(message_file))
    return config


def signal_of(name: str) -> api_pb2.Signal:
    """``SIGTERM``, ``SIGRTMIN+3``: the API's name of a signal in CRI's numbering."""
    return getattr(api_pb2, name.replace("RTMIN+", "RTMINPLUS").replace("RTMAX-", "RTMAXMINUS"))  # type: ignore[no-any-return]


def _read_only_root(container: restart.AnyContainer) -> bool:
    return bool(container.securityContext and container.securityContext.readOnlyRootFilesystem)


def _mount(mount: PlannedMount, container: restart.AnyContainer) -> api_pb2.Mount:
    if mount.propagation == "Bidirectional" and not security.is_privileged(container):
        raise ConfigError("Bidirectional mount propagation is available only to privileged containers")
    if mount.image:
        return api_pb2.Mount(
            container_path=mount.container_path,
            image=api_pb2.ImageSpec(image=mount.image),
            image_sub_path=mount.sub_path,
            readonly=True,
        )
    return api_pb2.Mount(
        container_path=mount.container_path,
        host_path=str(mount.host_path),
        readonly=mount.read_only,
        propagation=_PROPAGATION[mount.propagation],
        recursive_read_only=mount.recursive_read_only,
    )


def _annotations(
    pod: core_v1.Pod, container: restart.AnyContainer, attempt: int, message_path: str, message_file: Path
) -> dict[str, str]:
    annotations = {
        labels.HASH: restart.spec_hash(container),
        labels.RESTART_COUNT: str(attempt),
        labels.MESSAGE_PATH: message_path,
        labels.MESSAGE_POLICY: container.terminationMessagePolicy or "File",
        labels.MESSAGE_FILE: str(message_file),
        labels.GRACE: str(pod.spec.terminationGracePeriodSeconds or 30),
    }
    if container.lifecycle is not None and container.lifecycle.preStop is not None:
        annotations[labels.PRE_STOP] = msgspec.json.encode(container.lifecycle.preStop).decode()
    if container.ports:
        annotations[labels.PORTS] = msgspec.json.encode(container.ports).decode()
    return annotations


#: An image name: registry, path, tag, digest. Source: the distribution project's reference grammar.
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])"
_REFERENCE = re.compile(
    rf"(?:{_HOST}(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
    r"(@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?",
    re.ASCII,
)


def default_tag(image: str) -> str:
    """``image`` with ``:latest`` if it names neither tag nor digest. Raises ConfigError for no image name."""
    found = _REFERENCE.fullmatch(image)
    if found is not None:
        return image if found[1] or found[2] else f"{image}:latest"
    problem = "invalid reference format"
    if image != image.lower() and _REFERENCE.fullmatch(image.lower()):
        problem += ": repository name must be lowercase"
    shown = quote(image)
    raise ConfigError(f"Failed to apply default image tag {shown}: couldn't parse image name {shown}: {problem}")
