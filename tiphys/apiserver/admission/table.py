"""All plugins of Kubernetes 1.36 in the order in which they run, and which are on.

Rows name modules and classes instead of importing them: a server pays only for the plugins that it runs.
Source: kube-apiserver's list of plugins and of those that are off by default, 1.36.
"""

import importlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tiphys.apiserver.admission.plugin import Plugin, Tools

PACKAGE: Final = "tiphys.apiserver.admission."


@dataclass(frozen=True, slots=True)
class Row:
    """``name`` as in flags. Without a ``module`` the plugin only has a name here: it does nothing in 1.36 unless a
    feature gate is opened that is closed by default, or ``docs/compatibility.md`` says that it is missing."""

    name: str
    module: str = ""
    default: bool = False

    def cls(self) -> Any:
        """The class, imported now: most servers never run most of them."""
        return getattr(importlib.import_module(PACKAGE + self.module), self.name)


#: Those that end in True are on without a flag.
ORDERED: Final = (
    Row("AlwaysAdmit", "always"),
    Row("NamespaceAutoProvision", "namespaces"),
    Row("NamespaceLifecycle", "namespace_lifecycle", True),
    Row("NamespaceExists", "namespaces"),
    Row("LimitPodHardAntiAffinityTopology", "pod_antiaffinity"),
    Row("LimitRanger", "limit_ranger", True),
    Row("ServiceAccount", "service_account", True),
    # Off in kube-apiserver, on in what kubeadm makes. Nodes are as untrusted here, so it is on.
    Row("NodeRestriction", "node_restriction", True),
    Row("TaintNodesByCondition", "taint_nodes", True),
    Row("AlwaysPullImages", "always_pull_images"),
    Row("ImagePolicyWebhook", "image_policy"),
    Row("PodSecurity", "pod_security", True),
    Row("PodNodeSelector", "pod_node_selector"),
    Row("Priority", "priority", True),
    Row("DefaultTolerationSeconds", "default_toleration_seconds", True),
    Row("PodTolerationRestriction", "pod_toleration_restriction"),
    Row("EventRateLimit", "event_rate_limit"),
    Row("ExtendedResourceToleration", "extended_resource_toleration"),
    Row("DefaultStorageClass", "default_classes", True),
    Row("StorageObjectInUseProtection", "storage", True),
    Row("PodGroupProtection", default=True),
    Row("OwnerReferencesPermissionEnforcement", "owner_references"),
    Row("PersistentVolumeClaimResize", "storage", True),
    Row("RuntimeClass", "runtime_class", True),
    Row("CertificateApproval", "certificates", True),
    Row("CertificateSigning", "certificates", True),
    Row("ClusterTrustBundleAttest", "certificates", True),
    Row("CertificateSubjectRestriction", "certificates", True),
    Row("DefaultIngressClass", "default_classes", True),
    Row("DenyServiceExternalIPs", "external_ips"),
    Row("PodTopologyLabels", "pod_topology_labels", True),
    Row("PodGroupWorkloadExists", default=True),
    Row("NodeDeclaredFeatureValidator", default=True),
    Row("JobValidation", default=True),
    Row("PodResizeValidator", "pod_resize", True),
    # These are asked after all others and stand in ``chain``.
    Row("MutatingAdmissionPolicy", default=True),
    Row("MutatingAdmissionWebhook", default=True),
    Row("ValidatingAdmissionPolicy", default=True),
    Row("ValidatingAdmissionWebhook", default=True),
    Row("ResourceQuota", "resource_quota", True),
    Row("AlwaysDeny", "always"),
)
ROWS: Final[Mapping[str, Row]] = {row.name: row for row in ORDERED}
#: Behind the dynamic stages.
LAST: Final = frozenset({"ResourceQuota", "AlwaysDeny"})


class PluginError(ValueError):
    """Flags or a configuration file that cannot be; the text says why."""


def check(enabled: Collection[str], disabled: Collection[str]) -> None:
    """Raises PluginError in kube-apiserver's words."""
    problems = [
        f'{flag} plugin "{name}" is unknown'
        for flag, given in (("enable-admission-plugins", enabled), ("disable-admission-plugins", disabled))
        for name in given
        if name not in ROWS
    ]
    both = sorted(set(enabled) & set(disabled))
    if both:
        problems.append(f"[{' '.join(both)}] in enable-admission-plugins and disable-admission-plugins overlapped")
    if problems:
        raise PluginError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")


def chosen(enabled: Collection[str] = (), disabled: Collection[str] = ()) -> list[str]:
    """The names of the plugins that run, in their order. Raises PluginError."""
    check(enabled, disabled)
    return [row.name for row in ORDERED if (row.default or row.name in enabled) and row.name not in disabled]


def made(names: Collection[str], tools: Tools) -> list[Plugin]:
    """The plugins among ``names`` that do something, in their order. Raises PluginError."""
    found: list[Plugin] = []
    for row in ORDERED:
        if row.module and row.name in names:
            try:
                found.append(row.cls().made(tools))
            except ValueError as problem:
                raise PluginError(f'couldn\'t init admission plugin "{row.name}": {problem}') from problem
    return found
