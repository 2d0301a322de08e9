"""From a container's configuration to what the spawner is told. Pure: no file is read, nothing is made.

The result is data, in the order in which the spawner's child carries it out
(``spawner/setup.py``).
"""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.runtime import security
from tiphys.runtime.cri import api_pb2
from tiphys.runtime.images.store import ImageConfig, layer_name
from tiphys.runtime.linux import syscalls
from tiphys.runtime.linux.cgroups import Limits
from tiphys.runtime.records import Sandbox
from tiphys.runtime.security import Identity

Spec = dict[str, Any]
_NODEV = syscalls.MS_NOSUID | syscalls.MS_NOEXEC | syscalls.MS_NODEV
DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHM_BYTES = 64 * 1024 * 1024
PROPAGATION = {
    api_pb2.PROPAGATION_PRIVATE: syscalls.MS_PRIVATE,
    api_pb2.PROPAGATION_HOST_TO_CONTAINER: syscalls.MS_SLAVE,
    api_pb2.PROPAGATION_BIDIRECTIONAL: syscalls.MS_SHARED,
}
NODE = api_pb2.NODE
POD = api_pb2.POD


@dataclass(frozen=True, slots=True)
class Place:
    """Folders of one container's root file system."""

    layers: Path
    folder: Path

    @property
    def merged(self) -> Path:
        return self.folder / "merged"

    @property
    def upper(self) -> Path:
        return self.folder / "upper"

    @property
    def work(self) -> Path:
        return self.folder / "work"


@dataclass(frozen=True, slots=True)
class Node:
    """What of the host decides about containers."""

    capabilities: int
    controls_devices: bool
    #: What is mounted below /sys/fs/cgroup: (folder, file system, options).
    cgroup_mounts: Sequence[tuple[str, str, str]]
    #: Every device of the host, for privileged containers.
    devices: Sequence[Spec]


def arguments(config: api_pb2.ContainerConfig, image: ImageConfig) -> list[str]:
    """Command and arguments. Source: Kubernetes docs, "Define a Command and Arguments for a Container"."""
    if config.command:
        return [*config.command, *config.args]
    return [*(image.entrypoint or ()), *(config.args or image.cmd or ())]


def environment(config: api_pb2.ContainerConfig, image: ImageConfig, hostname: str, home: str) -> dict[str, str]:
    """The image's variables, then the container's; HOME and HOSTNAME where nobody sets them."""
    pairs = [entry.partition("=") for entry in (image.env or [DEFAULT_PATH])]
    found = {name: value for name, _, value in pairs}
    found.setdefault("HOSTNAME", hostname)
    if config.tty:
        found.setdefault("TERM", "xterm")
    found.update((variable.key, variable.value) for variable in config.envs)
    found.setdefault("HOME", home)
    return found


def limits_of(resources: api_pb2.LinuxContainerResources, pids: int = 0, devices: Sequence[str] | None = ()) -> Limits:
    """CRI's resources as limits of a control group."""
    return Limits(
        cpu_shares=resources.cpu_shares,
        cpu_quota=resources.cpu_quota,
        cpu_period=resources.cpu_period,
        memory_bytes=resources.memory_limit_in_bytes,
        pids=pids,
        cpuset_cpus=resources.cpuset_cpus,
        cpuset_mems=resources.cpuset_mems,
        devices=None if devices is None else tuple(devices),
        unified=dict(resources.unified),
    )


def namespaces(options: api_pb2.NamespaceOption) -> list[str]:
    """The namespaces that a sandbox makes for itself."""
    wanted = []
    if options.network != NODE:
        wanted += ["net", "uts"]
    if options.ipc != NODE:
        wanted.append("ipc")
    return wanted


def root(place: Place, layers: Sequence[str], read_only: bool, host: bool) -> Spec:
    """The image's layers, topmost first as overlayfs wants them, beneath a writable one."""
    overlays = []
    if host:
        overlays.append({
            "target": "usr", "lower": "/usr", "upper": str(place.folder / "usr-upper"),
            "work": str(place.folder / "usr-work"),
        })  # fmt: skip
    return {
        "path": str(place.merged),
        "layers": str(place.layers),
        "lower": [layer_name(layer) for layer in reversed(layers)],
        "upper": str(place.upper),
        "work": str(place.work),
        "read_only": read_only,
        "overlays": overlays,
    }


def _mount(kind: str, target: str, flags: int = 0, data: str | None = None, source: str | None = None) -> Spec:
    return {"type": kind, "source": source or kind, "target": target, "flags": flags, "data": data}


def _bind(
    source: str, target: str, *, read_only: bool = False, recursive: bool = True, propagation: int = syscalls.MS_PRIVATE
) -> Spec:
    return {
        "type": "bind",
        "source": source,
        "target": target,
        "read_only": read_only,
        "recursive": recursive,
        "recursive_read_only": False,
        "propagation": propagation,
    }


def system_mounts(sandbox: Sandbox, node: Node, *, privileged: bool, options: api_pb2.NamespaceOption) -> list[Spec]:
    """/proc, /dev, /sys as containers have them."""
    read_only = 0 if privileged else syscalls.MS_RDONLY
    shm = "/dev/shm" if options.ipc == NODE else sandbox.shm
    found = [
        _mount("proc", "/proc", _NODEV),
        _mount("tmpfs", "/dev", syscalls.MS_NOSUID | syscalls.MS_STRICTATIME, "mode=755,size=65536k"),
        _mount(
            "devpts", "/dev/pts", syscalls.MS_NOSUID | syscalls.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"
        ),
        _mount("mqueue", "/dev/mqueue", _NODEV),
        _bind(shm, "/dev/shm", recursive=False),
    ]
    if options.network == NODE:
        # sysfs shows the network namespace that it is mounted in; the host's is shown as it is.
        found.append(_bind("/sys", "/sys", read_only=not privileged, recursive=False))
    else:
        found.append(_mount("sysfs", "/sys", _NODEV | read_only))
    v1 = [entry for entry in node.cgroup_mounts if entry[0]]
    if v1:
        found.append(_mount("tmpfs", "/sys/fs/cgroup", _NODEV, "mode=755,size=64k"))
    for folder, kind, data in node.cgroup_mounts:
        target = f"/sys/fs/cgroup/{folder}" if folder else "/sys/fs/cgroup"
        found.append(_mount(kind, target, _NODEV | read_only, data or None))
    return found


def image_volume(mount: api_pb2.Mount, image_layers: Sequence[str], layers: Path, scratch: str) -> Spec:
    """An image's files, read-only. ``scratch`` is an empty folder of the container's."""
    found = _bind(scratch, mount.container_path, read_only=True)
    found["lower"] = [layer_name(layer) for layer in reversed(image_layers)]
    found["layers"] = str(layers)
    found["sub_path"] = mount.image_sub_path
    return found


def volume(mount: api_pb2.Mount) -> Spec:
    found = _bind(
        mount.host_path,
        mount.container_path,
        read_only=mount.readonly,
        propagation=PROPAGATION[mount.propagation],
    )
    found["recursive_read_only"] = mount.recursive_read_only
    return found


def process(config: api_pb2.ContainerConfig, image: ImageConfig, identity: Identity, hostname: str, node: Node) -> Spec:
    """How the first process runs; a command in a running container differs in arguments and terminal only."""
    context = config.linux.security_context
    bounding = security.capabilities(
        context.capabilities.add_capabilities,
        context.capabilities.drop_capabilities,
        privileged=context.privileged,
        available=node.capabilities,
        device_rules=node.controls_devices,
    )
    ambient = security.mask_of(context.capabilities.add_ambient_capabilities)
    score = config.linux.resources.oom_score_adj
    return {
        "args": arguments(config, image),
        "env": environment(config, image, hostname, identity.home),
        "cwd": config.working_dir or image.working_dir or "/",
        "make_cwd": True,
        "uid": identity.uid,
        "gid": identity.gid,
        "groups": list(identity.groups),
        "bounding": bounding,
        "ambient": ambient & bounding,
        "limits": [],
        "oom_score_adj": score or None,
        "no_new_privileges": context.no_new_privs,
        "filter": "",
        "terminal": config.tty,
        "stdin": config.stdin,
    }


def container(
    config: api_pb2.ContainerConfig,
    sandbox: Sandbox,
    image_layers: Sequence[str],
    place: Place,
    node: Node,
    described: Spec,
    *,
    host_image: bool,
    target_pid: int,
    image_volumes: Sequence[Spec] = (),
) -> Spec:
    """All but the id, the log and the cgroups, which the caller knows. ``described`` is ``process``'s result."""
    context = config.linux.security_context
    options = context.namespace_options
    privileged = context.privileged
    mounts = system_mounts(sandbox, node, privileged=privileged, options=options)
    volumes = [*(volume(mount) for mount in config.mounts if not mount.image.image), *image_volumes]
    mounts += sorted(volumes, key=lambda entry: entry["target"].count("/"))
    masked: Sequence[str] = context.masked_paths or ([] if privileged else security.MASKED_PATHS)
    read_only = list(context.readonly_paths or ([] if privileged else security.READ_ONLY_PATHS))
    if not privileged and any(folder for folder, _, _ in node.cgroup_mounts):
        # Folders for the hierarchies had to be made in it; nobody else makes any.
        read_only.append("/sys/fs/cgroup")
    if options.pid == POD and sandbox.init_pid:
        pid_namespace: str | None = f"/proc/{sandbox.init_pid}/ns/pid"
    elif options.pid == api_pb2.TARGET and target_pid:
        pid_namespace = f"/proc/{target_pid}/ns/pid"
    else:
        pid_namespace = None
    return {
        "root": root(place, image_layers, context.readonly_rootfs, host_image),
        "mounts": mounts,
        "devices": list(node.devices) if privileged else [],
        "masked": list(masked),
        "read_only": read_only,
        "namespaces": sandbox.pins,
        "pid_namespace": pid_namespace,
        "new_pid_namespace": pid_namespace is None and options.pid != NODE,
        "private_cgroup": not privileged,
        "process": described,
    }


def stop_signal(config: api_pb2.ContainerConfig, image: ImageConfig) -> str:
    """The name of the signal that asks the container to end."""
    if config.stop_signal:
        return str(api_pb2.Signal.Name(config.stop_signal)).replace("PLUS", "+").replace("MINUS", "-")
    return image.stop_signal or "SIGTERM"


def signal_number(name: str) -> int:
    """``SIGTERM``, ``TERM``, ``15`` or ``SIGRTMIN+3`` as a number; SIGTERM for what is none."""
    if name.isdigit():
        return int(name)
    plain, sign, offset = name.removeprefix("SIG"), "", "0"
    for operator in "+-":
        if operator in plain:
            plain, sign, offset = plain.partition(operator)
    base: Mapping[str, int] = signal.Signals.__members__
    number = base.get(f"SIG{plain}", signal.SIGTERM)
    return int(number) + (int(offset) if sign == "+" else -int(offset))
