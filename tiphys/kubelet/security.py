"""A container's security context, from its own and its Pod's, in CRI terms.

Source: Kubernetes docs, "Configure a Security Context for a Pod or Container", "Pod Security Standards".
"""

from collections.abc import Sequence
from typing import Final, TypeVar

from tiphys.api import core_v1
from tiphys.kubelet import restart
from tiphys.kubelet.environment import ConfigError
from tiphys.machinery.goformat import quote
from tiphys.runtime.cri import api_pb2

T = TypeVar("T")

MASKED_PATHS: Final = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def _own_or_pod(own: T | None, pods: T | None) -> T | None:
    return own if own is not None else pods


def namespaces(pod: core_v1.Pod, target_id: str = "") -> api_pb2.NamespaceOption:
    """Which namespaces the Pod's containers share; ``target_id`` is whose processes a debugger joins."""
    spec = pod.spec
    if target_id:
        pid = api_pb2.TARGET
    elif spec.hostPID:
        pid = api_pb2.NODE
    else:
        pid = api_pb2.POD if spec.shareProcessNamespace else api_pb2.CONTAINER
    return api_pb2.NamespaceOption(
        network=api_pb2.NODE if spec.hostNetwork else api_pb2.POD,
        ipc=api_pb2.NODE if spec.hostIPC else api_pb2.POD,
        pid=pid,
        target_id=target_id,
    )


def supplementary_groups(pod: core_v1.Pod) -> list[int]:
    context = pod.spec.securityContext
    if context is None:
        return []
    groups = list(context.supplementalGroups or ())
    if context.fsGroup is not None:
        groups.append(context.fsGroup)
    return groups


def _policy(pod: core_v1.Pod) -> api_pb2.SupplementalGroupsPolicy:
    context = pod.spec.securityContext
    strict = context is not None and context.supplementalGroupsPolicy == "Strict"
    return api_pb2.Strict if strict else api_pb2.Merge


def is_privileged(container: restart.AnyContainer) -> bool:
    return bool(container.securityContext and container.securityContext.privileged)


def seccomp(profile: core_v1.SeccompProfile | None, root: str = "/var/lib/kubelet/seccomp") -> api_pb2.SecurityProfile:
    """Without a profile a container runs unconfined: the kubelet's SeccompDefault is off, as in Kubernetes."""
    if profile is None or profile.type == "Unconfined":
        return api_pb2.SecurityProfile(profile_type=api_pb2.SecurityProfile.Unconfined)
    if profile.type == "Localhost":
        return api_pb2.SecurityProfile(
            profile_type=api_pb2.SecurityProfile.Localhost, localhost_ref=f"{root}/{profile.localhostProfile or ''}"
        )
    return api_pb2.SecurityProfile(profile_type=api_pb2.SecurityProfile.RuntimeDefault)


def container_context(
    pod: core_v1.Pod, container: restart.AnyContainer, image_user: str, target_id: str = ""
) -> api_pb2.LinuxContainerSecurityContext:
    """``image_user`` is the image's user name; used where neither Pod nor container names a user."""
    own = container.securityContext or core_v1.SecurityContext()
    pods = pod.spec.securityContext or core_v1.PodSecurityContext()
    user = _own_or_pod(own.runAsUser, pods.runAsUser)
    group = _own_or_pod(own.runAsGroup, pods.runAsGroup)
    profile = _own_or_pod(own.seccompProfile, pods.seccompProfile)
    unmasked = own.procMount == "Unmasked" or bool(own.privileged)
    context = api_pb2.LinuxContainerSecurityContext(
        privileged=bool(own.privileged),
        namespace_options=namespaces(pod, target_id),
        readonly_rootfs=bool(own.readOnlyRootFilesystem),
        supplemental_groups=supplementary_groups(pod),
        supplemental_groups_policy=_policy(pod),
        no_new_privs=own.allowPrivilegeEscalation is False,
        masked_paths=() if unmasked else MASKED_PATHS,
        readonly_paths=() if unmasked else READONLY_PATHS,
        seccomp=seccomp(None if own.privileged else profile),
    )
    if user is not None:
        context.run_as_user.value = user
    elif image_user:
        context.run_as_username = image_user
    if group is not None:
        context.run_as_group.value = group
    if own.capabilities is not None:
        context.capabilities.add_capabilities.extend(_capabilities(own.capabilities.add))
        context.capabilities.drop_capabilities.extend(_capabilities(own.capabilities.drop))
    selinux = _own_or_pod(own.seLinuxOptions, pods.seLinuxOptions)
    if selinux is not None:
        context.selinux_options.user = selinux.user or ""
        context.selinux_options.role = selinux.role or ""
        context.selinux_options.type = selinux.type or ""
        context.selinux_options.level = selinux.level or ""
    return context


def _capabilities(names: Sequence[str] | None) -> list[str]:
    return list(names or ())


def sandbox_context(pod: core_v1.Pod) -> api_pb2.LinuxSandboxSecurityContext:
    pods = pod.spec.securityContext or core_v1.PodSecurityContext()
    context = api_pb2.LinuxSandboxSecurityContext(
        namespace_options=namespaces(pod),
        privileged=any(is_privileged(c) for _, c in restart.containers_of(pod)),
        supplemental_groups=supplementary_groups(pod),
        supplemental_groups_policy=_policy(pod),
        seccomp=api_pb2.SecurityProfile(profile_type=api_pb2.SecurityProfile.RuntimeDefault),
    )
    if pods.runAsUser is not None:
        context.run_as_user.value = pods.runAsUser
    if pods.runAsGroup is not None:
        context.run_as_group.value = pods.runAsGroup
    return context


def check_non_root(pod: core_v1.Pod, container: restart.AnyContainer, image_uid: int | None, image_user: str) -> None:
    """runAsNonRoot, with the user that the image brings. Raises ConfigError in Kubernetes' words."""
    own = container.securityContext or core_v1.SecurityContext()
    pods = pod.spec.securityContext or core_v1.PodSecurityContext()
    if not _own_or_pod(own.runAsNonRoot, pods.runAsNonRoot):
        return
    meta = pod.metadata
    where = f"(pod: {quote(f'{meta.name}_{meta.namespace}({meta.uid})')}, container: {container.name})"
    user = _own_or_pod(own.runAsUser, pods.runAsUser)
    if user is not None:
        if user == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    if image_user:
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image_user}), "
            f"cannot verify user is non-root {where}"
        )
    if not image_uid:
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
