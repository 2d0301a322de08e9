"""Which checks make up a level in a version."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from tiphys.apiserver.admission.pod_security import baseline, restricted
from tiphys.apiserver.admission.pod_security.findings import Check, Finding, Subject
from tiphys.apiserver.admission.pod_security.policy import BASELINE, PRIVILEGED, LevelVersion

#: No check has changed since; versions behind it are as this one.
NEWEST: Final = 36


class Row(NamedTuple):
    """A check from version 1.``since`` on, until a later row of the same name. ``instead`` names the check of the
    lower level that it takes the place of."""

    name: str
    since: int
    check: Check
    instead: str = ""


#: In the order in which findings are told, which is that of Kubernetes' names.
BASELINE_CHECKS: Final = (
    Row("appArmorProfile", 0, baseline.app_armor),
    Row("capabilities_baseline", 0, baseline.capabilities),
    Row("hostNamespaces", 0, baseline.host_namespaces),
    Row("hostPathVolumes", 0, baseline.host_path_volumes),
    Row("hostPorts", 0, baseline.host_ports),
    Row("hostProbesAndHostLifecycle", 34, baseline.probe_hosts),
    Row("privileged", 0, baseline.privileged),
    Row("procMount_baseline", 0, baseline.proc_mount),
    Row("procMount_baseline", 35, baseline.proc_mount_with_users),
    Row("seLinuxOptions", 0, baseline.selinux(baseline.SELINUX_TYPES[:-1])),
    Row("seLinuxOptions", 31, baseline.selinux(baseline.SELINUX_TYPES)),
    Row("seccompProfile_baseline", 0, baseline.seccomp_annotations),
    Row("seccompProfile_baseline", 19, baseline.seccomp),
    Row("sysctls", 0, baseline.sysctls(0)),
    Row("sysctls", 27, baseline.sysctls(27)),
    Row("sysctls", 29, baseline.sysctls(29)),
    Row("sysctls", 32, baseline.sysctls(32)),
    Row("windowsHostProcess", 0, baseline.host_process),
)
RESTRICTED_CHECKS: Final = (
    Row("allowPrivilegeEscalation", 8, restricted.escalation),
    Row("allowPrivilegeEscalation", 25, restricted.not_on_windows(restricted.escalation)),
    Row("capabilities_restricted", 22, restricted.capabilities, "capabilities_baseline"),
    Row("capabilities_restricted", 25, restricted.not_on_windows(restricted.capabilities), "capabilities_baseline"),
    Row("procMount_restricted", 35, baseline.proc_mount, "procMount_baseline"),
    Row("restrictedVolumes", 0, restricted.volumes, "hostPathVolumes"),
    Row("runAsNonRoot", 0, restricted.non_root),
    Row("runAsNonRoot", 35, restricted.not_with_own_users(restricted.non_root)),
    Row("runAsUser", 23, restricted.user),
    Row("runAsUser", 35, restricted.not_with_own_users(restricted.user)),
    Row("seccompProfile_restricted", 19, restricted.seccomp, "seccompProfile_baseline"),
    Row("seccompProfile_restricted", 25, restricted.not_on_windows(restricted.seccomp), "seccompProfile_baseline"),
)


@lru_cache(maxsize=256)
def checks_of(level: str, version: int) -> Sequence[Check]:
    """The checks of a level in 1.``version``, in their order."""
    if level == PRIVILEGED:
        return ()
    lower = _at(BASELINE_CHECKS, version)
    if level == BASELINE:
        return [row.check for row in lower]
    upper = _at(RESTRICTED_CHECKS, version)
    replaced = {row.instead for row in upper}
    return [row.check for row in (*(row for row in lower if row.name not in replaced), *upper)]


def _at(rows: Sequence[Row], version: int) -> list[Row]:
    found: dict[str, Row] = {}
    for row in rows:
        if row.since <= version:
            found[row.name] = row
    return list(found.values())


def evaluate(policy: LevelVersion, subject: Subject) -> list[Finding]:
    """All that keeps something from fulfilling a level; empty if nothing does."""
    checks = checks_of(policy.level, min(policy.version, NEWEST))
    return [finding for check in checks if (finding := check(subject)) is not None]
