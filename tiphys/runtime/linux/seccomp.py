"""The default system call filter, compiled by us into the kernel's own form.

It refuses what the well-known default profiles refuse, by naming that instead
of the hundreds of calls they allow: what manages the host rather than uses it,
what makes namespaces or mounts, what is obsolete. What needs a capability is
refused as well unless the container has it. Calls of a foreign calling
convention are refused as a whole.
Source: seccomp(2); the default profiles of container runtimes, by behaviour.
"""

import errno
import hashlib
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from tiphys.runtime.cri import api_pb2
from tiphys.runtime.security import CAPABILITIES

#: Numbers by machine: (x86_64, aarch64); None where a machine has no such call.
CALLS: Mapping[str, tuple[int | None, int | None]] = {
    "acct": (163, 89), "add_key": (248, 217), "bpf": (321, 280), "clock_adjtime": (305, 266),
    "clock_settime": (227, 112), "create_module": (174, None), "delete_module": (176, 106), "fanotify_init": (300, 262),
    "finit_module": (313, 273), "fsconfig": (431, 431), "fsmount": (432, 432), "fsopen": (430, 430),
    "fspick": (433, 433), "get_kernel_syms": (177, None), "get_mempolicy": (239, 236), "init_module": (175, 105),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "io_uring_setup": (425, 425), "ioperm": (173, None),
    "iopl": (172, None), "kcmp": (312, 272), "kexec_file_load": (320, 294), "kexec_load": (246, 104),
    "keyctl": (250, 219), "lookup_dcookie": (212, 18), "mbind": (237, 235), "mount": (165, 40),
    "mount_setattr": (442, 442), "move_mount": (429, 429), "move_pages": (279, 239), "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265), "open_tree": (428, 428), "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438), "pivot_root": (155, 41), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "query_module": (178, None), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "reboot": (169, 142), "request_key": (249, 218), "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450), "setdomainname": (171, 162), "sethostname": (170, 161), "setns": (308, 268),
    "settimeofday": (164, 170), "swapoff": (168, 225), "swapon": (167, 224), "sysfs": (139, None),
    "syslog": (103, 116), "umount2": (166, 39), "unshare": (272, 97), "uselib": (134, None),
    "userfaultfd": (323, 282), "ustat": (136, None), "vhangup": (153, 58), "_sysctl": (156, None),
}  # fmt: skip
#: What a capability opens. Everything else in CALLS stays closed.
OPENED: Mapping[str, Sequence[str]] = {
    "SYS_ADMIN": (
        "bpf", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "lookup_dcookie", "mount", "mount_setattr",
        "move_mount", "open_tree", "perf_event_open", "quotactl", "quotactl_fd", "setdomainname", "sethostname",
        "setns", "syslog", "umount2", "unshare",
    ),
    "SYS_BOOT": ("reboot",),
    "SYS_MODULE": ("delete_module", "init_module", "finit_module"),
    "SYS_PACCT": ("acct",),
    "SYS_PTRACE": ("kcmp", "pidfd_getfd", "process_vm_readv", "process_vm_writev"),
    "SYS_RAWIO": ("iopl", "ioperm"),
    "SYS_TIME": ("settimeofday", "clock_settime", "clock_adjtime"),
    "SYS_TTY_CONFIG": ("vhangup",),
    "SYS_NICE": ("get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node", "move_pages"),
    "SYSLOG": ("syslog",),
    "BPF": ("bpf",),
    "PERFMON": ("perf_event_open",),
    "DAC_READ_SEARCH": ("open_by_handle_at",),
}  # fmt: skip
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
#: Every CLONE_NEW… flag.
_NAMESPACE_FLAGS = 0x7E020000
#: Numbers from here on belong to the x32 convention.
_X32 = 0x40000000

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16


class ProfileError(ValueError):
    """The profile cannot be used; the text says which and why."""


def closed(bounding: int) -> set[str]:
    """Calls that stay closed for a container with these capabilities."""
    found = set(CALLS)
    for capability, calls in OPENED.items():
        if bounding >> CAPABILITIES.index(capability) & 1:
            found -= set(calls)
    return found


def compile_default(machine: str, bounding: int) -> bytes:
    """The filter as an array of ``struct sock_filter``."""
    column, architecture = _MACHINES[machine]
    numbers = sorted(number for call in closed(bounding) if (number := CALLS[call][column]) is not None)
    refuse = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    unknown = (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)
    program: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        unknown,
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_AT_LEAST, 0, 1, _X32),
        unknown,
    ]
    for number in numbers:
        program += [(_JUMP_EQUAL, 0, 1, number), refuse]
    if "unshare" in closed(bounding):
        # clone3 hides its flags behind a pointer; told it does not exist, libraries fall back to clone.
        program += [
            (_JUMP_EQUAL, 0, 1, _CLONE3),
            unknown,
            (_JUMP_EQUAL, 0, 3, _CLONE[machine]),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_JUMP_ANY_BIT, 0, 1, _NAMESPACE_FLAGS),
            refuse,
        ]
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)


class FilterCache:
    """Compiled filters as files, each made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._paths: dict[int, str] = {}

    def path(self, profile: api_pb2.SecurityProfile, bounding: int) -> str:
        """The file with the filter, empty for none. Raises ProfileError."""
        if profile.profile_type == api_pb2.SecurityProfile.Unconfined:
            return ""
        if profile.profile_type == api_pb2.SecurityProfile.Localhost:
            raise ProfileError(
                f'seccomp profile "{profile.localhost_ref}": profiles from files are not supported; use RuntimeDefault'
            )
        machine = os.uname().machine
        if machine not in _MACHINES:
            raise ProfileError(f"there is no default seccomp profile for {machine}; use Unconfined")
        if bounding not in self._paths:
            program = compile_default(machine, bounding)
            place = self._folder / hashlib.sha256(program).hexdigest()[:16]
            if not place.exists():
                partial = place.with_suffix(".partial")
                partial.write_bytes(program)
                partial.replace(place)
            self._paths[bounding] = str(place)
        return self._paths[bounding]
