"""Checks of the level "baseline": nothing that is known to lead out of a Pod.

Source: Kubernetes docs, "Pod Security Standards", "Baseline".
"""

from typing import Any, Final

from tiphys.apiserver.admission.pod_security.findings import (
    Check,
    Finding,
    Subject,
    containers,
    plural,
    quoted,
    setters,
)
from tiphys.machinery.goformat import quote

CAPABILITIES: Final = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
APP_ARMOR_PREFIX: Final = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP_POD: Final = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_PREFIX: Final = "container.seccomp.security.alpha.kubernetes.io/"
PROFILES: Final = ("RuntimeDefault", "Localhost")
SELINUX_TYPES: Final = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
#: Those that concern the Pod alone, and since which version that is known.
SYSCTLS: Final = {
    "kernel.shm_rmid_forced": 0,
    "net.ipv4.ip_local_port_range": 0,
    "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ping_group_range": 0,
    "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_keepalive_time": 29,
    "net.ipv4.tcp_fin_timeout": 29,
    "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29,
    "net.ipv4.tcp_rmem": 32,
    "net.ipv4.tcp_wmem": 32,
}


def app_armor(subject: Subject) -> Finding | None:
    values: set[str] = set()

    def is_bad(context: Any) -> bool:
        profile = context.appArmorProfile
        if profile is None or profile.type in PROFILES:
            return False
        values.add(profile.type)
        return True

    who = setters(subject, is_bad)
    annotations = sorted(
        f"{key}={quote(value)}"
        for key, value in subject.metadata.annotations.items()
        if key.startswith(APP_ARMOR_PREFIX)
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    )
    if annotations:
        who.append(plural("annotation", "annotations", len(annotations)))
    listed = [*sorted(values), *annotations]
    if not who:
        return None
    reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", len(listed))
    return Finding(reason, f"{' and '.join(who)} must not set AppArmor profile type to {quoted(listed)}")


def capabilities(subject: Subject) -> Finding | None:
    names: list[str] = []
    added: set[str] = set()
    for one in subject.containers():
        context = one.securityContext
        listed = (context.capabilities.add if context is not None and context.capabilities is not None else None) or ()
        bad = set(listed) - CAPABILITIES
        if bad:
            names.append(one.name)
            added |= bad
    if not names:
        return None
    detail = f"{containers(names)} must not include {quoted(sorted(added))} in securityContext.capabilities.add"
    return Finding("non-default capabilities", detail)


def host_namespaces(subject: Subject) -> Finding | None:
    spec = subject.spec
    found = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if getattr(spec, name)]
    return Finding("host namespaces", ", ".join(found)) if found else None


def host_path_volumes(subject: Subject) -> Finding | None:
    names = [one.name for one in subject.spec.volumes or () if one.hostPath is not None]
    if not names:
        return None
    return Finding("hostPath volumes", f"{plural('volume', 'volumes', len(names))} {quoted(names)}")


def host_ports(subject: Subject) -> Finding | None:
    names: list[str] = []
    ports: set[str] = set()
    for one in subject.containers():
        bad = {str(port.hostPort) for port in one.ports or () if port.hostPort}
        if bad:
            names.append(one.name)
            ports |= bad
    if not names:
        return None
    uses = f"{plural('uses', 'use', len(names))} {plural('hostPort', 'hostPorts', len(ports))}"
    return Finding("hostPort", f"{containers(names)} {uses} {', '.join(sorted(ports))}")


def probe_hosts(subject: Subject) -> Finding | None:
    names: set[str] = set()
    hosts: set[str] = set()
    for one in subject.containers():
        handlers = [one.livenessProbe, one.readinessProbe, one.startupProbe]
        if one.lifecycle is not None:
            handlers += [one.lifecycle.postStart, one.lifecycle.preStop]
        for handler in handlers:
            actions = (handler.httpGet, handler.tcpSocket) if handler is not None else ()
            found = {action.host for action in actions if action is not None and action.host}
            if found:
                names.add(one.name)
                hosts |= found
    if not names:
        return None
    reason = "probe or lifecycle host"
    uses = f"{plural('uses', 'use', len(names))} {plural(reason, reason + 's', len(hosts))}"
    return Finding(reason, f"{containers(sorted(names))} {uses} {quoted(sorted(hosts))}")


def privileged(subject: Subject) -> Finding | None:
    names = [
        one.name
        for one in subject.containers()
        if one.securityContext is not None and one.securityContext.privileged is True
    ]
    if not names:
        return None
    return Finding("privileged", f"{containers(names)} must not set securityContext.privileged=true")


def proc_mount(subject: Subject) -> Finding | None:
    names: list[str] = []
    values: set[str] = set()
    for one in subject.containers():
        value = one.securityContext.procMount if one.securityContext is not None else None
        if value and value != "Default":
            names.append(one.name)
            values.add(value)
    if not names:
        return None
    detail = f"{containers(names)} must not set securityContext.procMount to {quoted(sorted(values))}"
    return Finding("procMount", detail)


def proc_mount_with_users(subject: Subject) -> Finding | None:
    return None if subject.has_own_users else proc_mount(subject)


def seccomp_annotations(subject: Subject) -> Finding | None:
    """As it was before the field."""
    annotations = subject.metadata.annotations
    keys = [SECCOMP_POD, *(SECCOMP_PREFIX + one.name for one in subject.containers())]
    found = sorted(
        {
            f"{key}={quote(annotations[key])}"
            for key in keys
            if key in annotations
            and annotations[key] not in ("runtime/default", "docker/default")
            and not annotations[key].startswith("localhost/")
        }
    )
    if not found:
        return None
    what = plural("annotation", "annotations", len(found))
    return Finding("seccompProfile", f"forbidden {what} {', '.join(found)}")


def seccomp(subject: Subject) -> Finding | None:
    values: set[str] = set()

    def is_bad(context: Any) -> bool:
        profile = context.seccompProfile
        if profile is None or profile.type in PROFILES:
            return False
        values.add(profile.type)
        return True

    who = setters(subject, is_bad)
    if not who:
        return None
    what = f"must not set securityContext.seccompProfile.type to {quoted(sorted(values))}"
    return Finding("seccompProfile", f"{' and '.join(who)} {what}")


def selinux(types: tuple[str, ...]) -> Check:
    """Only ``types``, and neither user nor role."""

    def check(subject: Subject) -> Finding | None:
        bad: set[str] = set()
        more: set[str] = set()

        def is_bad(context: Any) -> bool:
            options = context.seLinuxOptions
            if options is None:
                return False
            found = []
            if (options.type or "") not in types:
                found.append(True)
                bad.add(options.type)
            for name in ("user", "role"):
                if getattr(options, name):
                    found.append(True)
                    more.add(name)
            return bool(found)

        who = setters(subject, is_bad)
        if not who:
            return None
        said = [f"{plural('type', 'types', len(bad))} {quoted(sorted(bad))}"] if bad else []
        said += [f"{name} may not be set" for name in ("user", "role") if name in more]
        what = f"set forbidden securityContext.seLinuxOptions: {'; '.join(said)}"
        return Finding("seLinuxOptions", f"{' and '.join(who)} {what}")

    return check


def sysctls(version: int) -> Check:
    """Those that were known to be safe in 1.``version``."""

    def check(subject: Subject) -> Finding | None:
        context = subject.spec.securityContext
        found = [
            one.name
            for one in (context.sysctls if context is not None else None) or ()
            if SYSCTLS.get(one.name, version + 1) > version
        ]
        return Finding("forbidden sysctls", ", ".join(found)) if found else None

    return check


def host_process(subject: Subject) -> Finding | None:
    def is_bad(context: Any) -> bool:
        return context.windowsOptions is not None and context.windowsOptions.hostProcess is True

    who = setters(subject, is_bad)
    if not who:
        return None
    return Finding("hostProcess", f"{' and '.join(who)} must not set securityContext.windowsOptions.hostProcess=true")
