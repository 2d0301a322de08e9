"""Records as the messages in which CRI shows them, and the filters that lists take. Pure."""

from collections.abc import Mapping

from tiphys.runtime.cri import api_pb2
from tiphys.runtime.images.store import Image
from tiphys.runtime.records import Container, Sandbox


def sandbox_state(sandbox: Sandbox) -> api_pb2.PodSandboxState:
    return api_pb2.SANDBOX_READY if sandbox.ready else api_pb2.SANDBOX_NOTREADY


def sandbox_status(sandbox: Sandbox) -> api_pb2.PodSandboxStatus:
    config = sandbox.message()
    first, *others = sandbox.addresses or [""]
    return api_pb2.PodSandboxStatus(
        id=sandbox.id,
        metadata=config.metadata,
        state=sandbox_state(sandbox),
        created_at=sandbox.created_at,
        network=api_pb2.PodSandboxNetworkStatus(ip=first, additional_ips=[api_pb2.PodIP(ip=ip) for ip in others]),
        linux=api_pb2.LinuxPodSandboxStatus(
            namespaces=api_pb2.Namespace(options=config.linux.security_context.namespace_options)
        ),
        labels=config.labels,
        annotations=config.annotations,
        runtime_handler=sandbox.runtime_handler,
    )


def sandbox_row(sandbox: Sandbox) -> api_pb2.PodSandbox:
    config = sandbox.message()
    return api_pb2.PodSandbox(
        id=sandbox.id,
        metadata=config.metadata,
        state=sandbox_state(sandbox),
        created_at=sandbox.created_at,
        labels=config.labels,
        annotations=config.annotations,
        runtime_handler=sandbox.runtime_handler,
    )


def container_status(container: Container) -> api_pb2.ContainerStatus:
    config = container.message()
    linux = api_pb2.LinuxContainerUser(uid=container.uid, gid=container.gid, supplemental_groups=container.groups)
    return api_pb2.ContainerStatus(
        id=container.id,
        metadata=config.metadata,
        state=container.state,
        created_at=container.created_at,
        started_at=container.started_at,
        finished_at=container.finished_at,
        exit_code=container.exit_code or 0,
        image=config.image,
        image_ref=container.image_ref or container.image_id,
        reason=container.reason,
        message=container.text,
        labels=config.labels,
        annotations=config.annotations,
        mounts=config.mounts,
        log_path=container.log_path,
        resources=api_pb2.ContainerResources(linux=config.linux.resources),
        image_id=container.image_id,
        user=api_pb2.ContainerUser(linux=linux),
    )


def container_row(container: Container) -> api_pb2.Container:
    config = container.message()
    return api_pb2.Container(
        id=container.id,
        pod_sandbox_id=container.sandbox_id,
        metadata=config.metadata,
        image=config.image,
        image_ref=container.image_ref or container.image_id,
        state=container.state,
        created_at=container.created_at,
        labels=config.labels,
        annotations=config.annotations,
        image_id=container.image_id,
    )


def image_row(image: Image) -> api_pb2.Image:
    user = image.config.user or ""
    name = user.partition(":")[0]
    found = api_pb2.Image(
        id=image.id,
        repo_tags=image.tags,
        repo_digests=image.digests,
        size=image.size,
        spec=api_pb2.ImageSpec(image=image.id),
        pinned=image.pinned,
    )
    if name.isdigit() or not name:
        found.uid.value = int(name or 0)
    else:
        found.username = name
    return found


def has_labels(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def sandbox_matches(sandbox: Sandbox, wanted: api_pb2.PodSandboxFilter) -> bool:
    return (
        (not wanted.id or sandbox.id.startswith(wanted.id))
        and (not wanted.HasField("state") or wanted.state.state == sandbox_state(sandbox))
        and (not wanted.label_selector or has_labels(sandbox.message().labels, wanted.label_selector))
    )


def container_matches(container: Container, wanted: api_pb2.ContainerFilter) -> bool:
    return (
        (not wanted.id or container.id.startswith(wanted.id))
        and (not wanted.pod_sandbox_id or container.sandbox_id.startswith(wanted.pod_sandbox_id))
        and (not wanted.HasField("state") or wanted.state.state == container.state)
        and (not wanted.label_selector or has_labels(container.message().labels, wanted.label_selector))
    )
