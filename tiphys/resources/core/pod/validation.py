"""Validation of Pod specs, and of Pods where more holds for them than for templates."""

from functools import lru_cache

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.core.pod import containers, scheduling, security, volumes
from tiphys.resources.core.pod.resources import validate_pod_resources

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
PREEMPTION_POLICIES = ("PreemptLowerPriority", "Never")
GATED = "cannot be set until all schedulingGates have been cleared"


def validate_pod(errs: Errors, pod: core_v1.Pod) -> None:
    """What holds after every change of a Pod."""
    spec = pod.spec
    validate_pod_spec(errs, "spec", spec, is_pod=True)
    if not spec.serviceAccountName:
        for index, volume in enumerate(spec.volumes or ()):
            if volume.projected is not None:
                _no_tokens(errs, f"spec.volumes[{index}].projected", volume.projected)
    for field, listed in (("containers", spec.containers), ("initContainers", spec.initContainers or ())):
        for index, container in enumerate(listed):
            if (container.image or "") != (container.image or "").strip():
                containers.image_without_spaces(errs, f"spec.{field}[{index}]", container)


def validate_create(pod: core_v1.Pod) -> Errors:
    errs: Errors = []
    validate_pod(errs, pod)
    if pod.spec.ephemeralContainers:
        errs.append(fields.forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if pod.spec.schedulingGates and pod.spec.nodeName:
        errs.append(fields.forbidden("spec.nodeName", GATED))
    return errs


def _no_tokens(errs: Errors, path: str, source: core_v1.ProjectedVolumeSource) -> None:
    for index, projection in enumerate(source.sources or ()):
        if projection.serviceAccountToken is not None:
            detail = "must not be specified when serviceAccountName is not set"
            errs.append(fields.forbidden(f"{path}.sources[{index}].serviceAccountToken", detail))


def validate_pod_spec(errs: Errors, path: str, spec: core_v1.PodSpec, *, is_pod: bool = False) -> None:
    known = volumes.validate_volumes(errs, f"{path}.volumes", spec.volumes) if spec.volumes else {}
    containers.validate_containers(errs, f"{path}.containers", spec, known)
    if spec.initContainers:
        containers.validate_init_containers(errs, f"{path}.initContainers", spec, known)
    if spec.ephemeralContainers:
        containers.validate_ephemeral_containers(errs, f"{path}.ephemeralContainers", spec, known)
    if spec.restartPolicy not in RESTART_POLICIES:
        checks.required_one_of(errs, f"{path}.restartPolicy", spec.restartPolicy, RESTART_POLICIES)
    if spec.dnsPolicy not in DNS_POLICIES:
        checks.required_one_of(errs, f"{path}.dnsPolicy", spec.dnsPolicy, DNS_POLICIES)
    if spec.nodeSelector:
        checks.labels(errs, f"{path}.nodeSelector", spec.nodeSelector)
    security.validate_pod(errs, f"{path}.securityContext", spec)
    if spec.resources is not None:
        validate_pod_resources(errs, f"{path}.resources", spec)
    _scheduling(errs, path, spec)
    _names(errs, path, spec)
    _network(errs, path, spec, is_pod=is_pod)
    if spec.activeDeadlineSeconds is not None:
        checks.in_range(errs, f"{path}.activeDeadlineSeconds", spec.activeDeadlineSeconds, 1, checks.MAX_INT32)
    if spec.preemptionPolicy is not None and spec.preemptionPolicy not in PREEMPTION_POLICIES:
        checks.required_one_of(errs, f"{path}.preemptionPolicy", spec.preemptionPolicy, PREEMPTION_POLICIES)
    if spec.overhead:
        checks.quantities(errs, f"{path}.overhead", spec.overhead)
    if spec.os is not None:
        checks.required_one_of(errs, f"{path}.os.name", spec.os.name, ("linux", "windows"))
    _claims(errs, f"{path}.resourceClaims", spec.resourceClaims or [])


def _scheduling(errs: Errors, path: str, spec: core_v1.PodSpec) -> None:
    if spec.affinity is not None:
        scheduling.validate_affinity(errs, f"{path}.affinity", spec.affinity)
    if spec.tolerations:
        scheduling.validate_tolerations(errs, f"{path}.tolerations", spec.tolerations)
    if spec.topologySpreadConstraints:
        scheduling.validate_spread(errs, f"{path}.topologySpreadConstraints", spec.topologySpreadConstraints)
    if spec.schedulingGates:
        scheduling.validate_gates(errs, f"{path}.schedulingGates", spec.schedulingGates)
    for index, gate in enumerate(spec.readinessGates or ()):
        here = f"{path}.readinessGates[{index}].conditionType"
        checks.form(errs, here, gate.conditionType, checks.qualified_name)


NAMES = (
    ("serviceAccountName", checks.dns1123_subdomain),
    ("nodeName", checks.dns1123_subdomain),
    ("priorityClassName", checks.dns1123_subdomain),
    ("runtimeClassName", checks.dns1123_subdomain),
    ("hostname", checks.dns1123_label),
    ("subdomain", checks.dns1123_label),
    ("schedulerName", checks.qualified_name),
)


def _names(errs: Errors, path: str, spec: core_v1.PodSpec) -> None:
    for field, problems in NAMES:
        value = getattr(spec, field)
        if value and problems(value):
            checks.form(errs, f"{path}.{field}", value, problems)


MAX_NAMESERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_CHARACTERS = 2048


def _network(errs: Errors, path: str, spec: core_v1.PodSpec, *, is_pod: bool) -> None:
    _dns(errs, f"{path}.dnsConfig", spec)
    for index, alias in enumerate(spec.hostAliases or ()):
        here = f"{path}.hostAliases[{index}]"
        checks.form(errs, f"{here}.ip", alias.ip, checks.ip_address)
        for number, hostname in enumerate(alias.hostnames or ()):
            checks.form(errs, f"{here}.hostnames[{number}]", hostname, checks.dns1123_subdomain)
    if not spec.hostNetwork:
        return
    for index, container in enumerate(spec.containers):
        for number, port in enumerate(container.ports or ()):
            if (is_pod or port.hostPort) and port.hostPort != port.containerPort:
                here = f"{path}.containers[{index}].ports[{number}].hostPort"
                detail = "must match `containerPort` when `hostNetwork` is true"
                errs.append(fields.invalid(here, port.hostPort or 0, detail))


@lru_cache(maxsize=1024)
def _search_problems(domain: str) -> tuple[str, ...]:
    """Search domains may hold underscores, end in a dot, or be the root."""
    if domain == ".":
        return ()
    return checks.dns1123_subdomain(domain.removesuffix(".").replace("_", "x"))


def _dns(errs: Errors, path: str, spec: core_v1.PodSpec) -> None:
    config = spec.dnsConfig
    if spec.dnsPolicy == "None":
        if config is None:
            errs.append(fields.required(path, "must provide `dnsConfig` when `dnsPolicy` is None"))
            return
        if not config.nameservers:
            detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            errs.append(fields.required(f"{path}.nameservers", detail))
            return
    if config is None:
        return
    nameservers, searches = config.nameservers or [], config.searches or []
    if len(nameservers) > MAX_NAMESERVERS:
        detail = f"must not have more than {MAX_NAMESERVERS} nameservers"
        errs.append(fields.invalid(f"{path}.nameservers", nameservers, detail))
    for index, address in enumerate(nameservers):
        checks.form(errs, f"{path}.nameservers[{index}]", address, checks.ip_address)
    if len(searches) > MAX_SEARCHES:
        errs.append(
            fields.invalid(f"{path}.searches", searches, f"must not have more than {MAX_SEARCHES} search paths")
        )
    if len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        detail = f"must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        errs.append(fields.invalid(f"{path}.searches", searches, detail))
    for index, domain in enumerate(searches):
        checks.form(errs, f"{path}.searches[{index}]", domain, _search_problems)
    for index, option in enumerate(config.options or ()):
        if not option.name:
            errs.append(fields.required(f"{path}.options[{index}]", "must not be empty"))


def _claims(errs: Errors, path: str, claims: list[core_v1.PodResourceClaim]) -> None:
    names: set[str] = set()
    for index, claim in enumerate(claims):
        here = f"{path}[{index}]"
        if claim.name in names:
            errs.append(fields.duplicate(f"{here}.name", claim.name))
        else:
            checks.required_form(errs, f"{here}.name", claim.name, checks.dns1123_label)
        names.add(claim.name)
        sources = (claim.resourceClaimName is not None) + (claim.resourceClaimTemplateName is not None)
        if sources > 1:
            detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            errs.append(fields.invalid(here, claim, detail))
        if sources == 0:
            detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errs.append(fields.invalid(here, claim, detail))
