"""What a container may do: capabilities, masked paths, identity. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: By number. Source: capabilities(7).
CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
#: What runtimes give by default. Source: Kubernetes docs, "Configure a Security Context", and containerd's defaults.
DEFAULT = (
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
    "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
)  # fmt: skip
ALL = (1 << len(CAPABILITIES)) - 1

MASKED_PATHS = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
READ_ONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


class SecurityError(ValueError):
    """The configuration asks for something that does not exist; the text says what."""


def mask_of(names: Iterable[str]) -> int:
    """Bits of capabilities given as ``NET_ADMIN`` or ``CAP_NET_ADMIN``. Raises SecurityError."""
    mask = 0
    for name in names:
        plain = name.upper().removeprefix("CAP_")
        if plain == "ALL":
            return ALL
        if plain not in CAPABILITIES:
            raise SecurityError(f'unknown capability "{name}"')
        mask |= 1 << CAPABILITIES.index(plain)
    return mask


def capabilities(
    add: Sequence[str], drop: Sequence[str], *, privileged: bool, available: int, device_rules: bool
) -> int:
    """The bounding set. ``available`` is what we have ourselves: nobody can be given more.

    Without ``device_rules`` containers cannot be kept from using device nodes
    they make, so that they must not make any.
    """
    if privileged:
        return ALL & available
    mask = mask_of(DEFAULT)
    if not device_rules:
        mask &= ~mask_of(["MKNOD"])
    if mask_of(drop) == ALL:
        mask = 0
    if mask_of(add) == ALL:
        mask = ALL
    mask = (mask | mask_of(add)) & ~(mask_of(drop) if mask_of(drop) != ALL else 0)
    return mask & available


@dataclass(frozen=True, slots=True)
class Identity:
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def resolve_user(text: str, passwd: str, group: str) -> tuple[int, int, str, str]:
    """Uid, primary gid, home and name of an image's ``USER`` (``name``, ``uid``, either with ``:group``).

    ``passwd`` and ``group`` are the texts of the image's files. Raises SecurityError
    for a name that is in neither.
    """
    user, _, wanted_group = text.partition(":")
    users = [row.split(":") for row in passwd.splitlines() if row.count(":") >= 6]
    groups = [row.split(":") for row in group.splitlines() if row.count(":") >= 3]
    found = next((row for row in users if user in (row[0], row[2])), None)
    if found is None and not user.isdigit():
        raise SecurityError(f"unable to find user {user}: no matching entries in passwd file")
    uid = int(found[2]) if found else int(user)
    gid, home, name = (int(found[3]), found[5], found[0]) if found else (0, "/", "")
    if wanted_group:
        match = next((row for row in groups if wanted_group in (row[0], row[2])), None)
        if match is None and not wanted_group.isdigit():
            raise SecurityError(f"unable to find group {wanted_group}: no matching entries in group file")
        gid = int(match[2]) if match else int(wanted_group)
    return uid, gid, home or "/", name


def groups_of(name: str, group: str) -> list[int]:
    """Supplementary groups that the image's group file gives to a user."""
    rows = [row.split(":") for row in group.splitlines() if row.count(":") >= 3]
    return [int(row[2]) for row in rows if name and name in row[3].split(",")]
