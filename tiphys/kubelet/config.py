"""What a kubelet is told when it starts."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class KubeletConfig:
    """Defaults are Kubernetes' where it has them. Seconds and bytes are in the names."""

    node_name: str
    #: Where Pod directories and checkpoints go.
    root_dir: Path
    #: Container logs: ``<log_dir>/pods/<ns>_<name>_<uid>/<container>/<n>.log``.
    log_dir: Path
    #: The runtime's CRI socket.
    cri_socket: Path
    #: The first is the node's InternalIP and every Pod's hostIP.
    node_ips: tuple[str, ...] = ("127.0.0.1",)
    hostname: str = ""
    listen_address: str = "0.0.0.0"
    #: 0 lets the kernel choose; the Node object names the one that was bound.
    port: int = 10250
    #: Without certificate and key the server listens in plain HTTP, for tests.
    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    resolv_conf: Path = Path("/etc/resolv.conf")
    #: Parent of all Pod cgroups, below the controllers' mount points; empty is the root.
    cgroup_root: str = ""
    max_pods: int = 110
    node_labels: dict[str, str] = field(default_factory=dict)
    taints: tuple[tuple[str, str, str], ...] = ()
    #: What the Node's capacity says, instead of the machine's.
    capacity: dict[str, str] = field(default_factory=dict)
    reserved: dict[str, str] = field(default_factory=dict)
    pods_starting_max: int = 32
    node_status_seconds: float = 10.0
    node_report_seconds: float = 300.0
    lease_seconds: int = 40
    #: How often the runtime is asked for everything; its events tell of changes in between.
    relist_seconds: float = 60.0
    #: The same while the runtime sends no events.
    relist_seconds_without_events: float = 1.0
    #: At most this often are Pods removed that the runtime has and the API does not.
    housekeeping_seconds: float = 2.0
    log_bytes_max: int = 10 << 20
    log_files_max: int = 5
    log_check_seconds: float = 10.0
    image_gc_high_percent: int = 85
    image_gc_low_percent: int = 80
    image_gc_seconds: float = 300.0
    image_min_age_seconds: float = 120.0
    kubelet_version: str = "v1.36.0"
    #: Given in tests, where there is neither /proc nor a kernel to look at.
    machine: "MachineFacts | None" = None
    #: Mount tmpfs, propagate and chown; False where there is no root.
    privileged: bool = True


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """The machine as the Node object describes it."""

    cpus: int = 1
    memory_bytes: int = 1 << 30
    machine_id: str = ""
    system_uuid: str = ""
    boot_id: str = ""
    kernel_version: str = ""
    os_image: str = ""
    architecture: str = "amd64"
    disk_bytes: int = 1 << 30
    disk_free_bytes: int = 1 << 30
    swap_bytes: int = 0
    pid_max: int = 32768
    #: Kernel features that are missing, each a sentence for people.
    missing: tuple[str, ...] = ()
