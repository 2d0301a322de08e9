"""Validation of containers: everything that stands below one container.

Source: Kubernetes, package apis/core/validation, by behaviour and messages.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.core.pod import environment, handlers, mounts, resources, security

AnyContainer: TypeAlias = core_v1.Container | core_v1.EphemeralContainer
Volumes: TypeAlias = Mapping[str, core_v1.Volume]

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
RESIZE_POLICIES = ("NotRequired", "RestartContainer")
ONLY_SIDECARS = "may not be set for init containers without restartPolicy=Always"
NOT_EPHEMERAL = "cannot be set for an Ephemeral Container"
FORBIDDEN_IN_EPHEMERAL = (
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
)


def validate_containers(errs: Errors, path: str, spec: core_v1.PodSpec, volumes: Volumes) -> None:
    if not spec.containers:
        errs.append(fields.required(path))
        return
    names: set[str] = set()
    for index, container in enumerate(spec.containers):
        here = f"{path}[{index}]"
        _common(errs, here, container, spec, volumes)
        if container.name in names:
            errs.append(fields.duplicate(f"{here}.name", container.name))
        names.add(container.name)
        _lifecycle_and_probes(errs, here, container, spec)
        if container.restartPolicy is not None:
            _restart_policy(errs, here, container)
    _host_ports(errs, path, spec.containers, set())


def validate_init_containers(errs: Errors, path: str, spec: core_v1.PodSpec, volumes: Volumes) -> None:
    names = {container.name for container in spec.containers}
    for index, container in enumerate(spec.initContainers or ()):
        here = f"{path}[{index}]"
        _common(errs, here, container, spec, volumes)
        if container.restartPolicy is not None:
            _restart_policy(errs, here, container)
        if container.name in names:
            errs.append(fields.duplicate(f"{here}.name", container.name))
        elif container.name:
            names.add(container.name)
        # Init containers run one after the other, so each is checked by itself.
        _host_ports(errs, path, [container], set())
        if container.restartPolicy == "Always":
            _lifecycle_and_probes(errs, here, container, spec)
            continue
        for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if getattr(container, field) is not None:
                errs.append(fields.forbidden(f"{here}.{field}", ONLY_SIDECARS))


def validate_ephemeral_containers(errs: Errors, path: str, spec: core_v1.PodSpec, volumes: Volumes) -> None:
    others = {container.name for container in (*spec.containers, *(spec.initContainers or ()))}
    names = set(others)
    for index, container in enumerate(spec.ephemeralContainers or ()):
        here = f"{path}[{index}]"
        _common(errs, here, container, spec, volumes)
        image_without_spaces(errs, here, container)
        if container.name in names:
            errs.append(fields.duplicate(f"{here}.name", container.name))
        names.add(container.name)
        target = container.targetContainerName
        if target and target not in others:
            errs.append(fields.not_found(f"{here}.targetContainerName", target))
        for field in FORBIDDEN_IN_EPHEMERAL:
            value = getattr(container, field)
            if value and value != core_v1.ResourceRequirements():
                errs.append(fields.forbidden(f"{here}.{field}", NOT_EPHEMERAL))
        for number, mount in enumerate(container.volumeMounts or ()):
            for field in ("subPath", "subPathExpr"):
                if getattr(mount, field):
                    errs.append(fields.forbidden(f"{here}.volumeMounts[{number}].{field}", NOT_EPHEMERAL))


def image_without_spaces(errs: Errors, path: str, container: AnyContainer) -> None:
    """Holds for Pods only: templates with such images exist."""
    image = container.image or ""
    if image != image.strip():
        errs.append(fields.invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))


def _common(errs: Errors, path: str, container: AnyContainer, spec: core_v1.PodSpec, volumes: Volumes) -> None:
    if not container.name or checks.dns1123_label(container.name):
        checks.required_form(errs, f"{path}.name", container.name, checks.dns1123_label)
    if not container.image:
        errs.append(fields.required(f"{path}.image"))
    if container.terminationMessagePolicy not in MESSAGE_POLICIES:
        checks.required_one_of(
            errs, f"{path}.terminationMessagePolicy", container.terminationMessagePolicy, MESSAGE_POLICIES
        )
    if container.ports:
        _ports(errs, f"{path}.ports", container.ports)
    if container.env:
        environment.validate_env(errs, f"{path}.env", container.env)
    if container.envFrom:
        environment.validate_env_from(errs, f"{path}.envFrom", container.envFrom)
    if container.volumeMounts:
        mounts.validate_mounts(errs, f"{path}.volumeMounts", container, volumes)
    if container.volumeDevices:
        mounts.validate_devices(errs, f"{path}.volumeDevices", container, volumes)
    if container.imagePullPolicy not in PULL_POLICIES:
        checks.required_one_of(errs, f"{path}.imagePullPolicy", container.imagePullPolicy, PULL_POLICIES)
    if container.resources.limits or container.resources.requests or container.resources.claims:
        claims = {claim.name for claim in spec.resourceClaims or ()}
        resources.validate_container_resources(errs, f"{path}.resources", container.resources, claims)
    if container.resizePolicy:
        _resize_policy(errs, f"{path}.resizePolicy", container.resizePolicy, spec.restartPolicy)
    if container.securityContext is not None:
        security.validate_container(errs, f"{path}.securityContext", container.securityContext)


def _ports(errs: Errors, path: str, ports: Sequence[core_v1.ContainerPort]) -> None:
    names: set[str] = set()
    for index, port in enumerate(ports):
        if port.name:
            if port.name in names:
                errs.append(fields.duplicate(f"{path}[{index}].name", port.name))
            checks.form(errs, f"{path}[{index}].name", port.name, checks.port_name)
            names.add(port.name)
        if not port.containerPort:
            errs.append(fields.required(f"{path}[{index}].containerPort"))
        elif not 0 < port.containerPort < 65536:
            checks.in_range(errs, f"{path}[{index}].containerPort", port.containerPort, 1, 65535)
        if port.hostPort:
            checks.in_range(errs, f"{path}[{index}].hostPort", port.hostPort, 1, 65535)
        if port.protocol not in PROTOCOLS:
            checks.required_one_of(errs, f"{path}[{index}].protocol", port.protocol, PROTOCOLS)
        if port.hostIP:
            checks.form(errs, f"{path}[{index}].hostIP", port.hostIP, checks.ip_address)


def _host_ports(
    errs: Errors, path: str, containers: Sequence[core_v1.Container], taken: set[tuple[str, str, int]]
) -> None:
    for index, container in enumerate(containers):
        for number, port in enumerate(container.ports or ()):
            if not port.hostPort:
                continue
            key = (port.protocol or "", port.hostIP or "", port.hostPort)
            if key in taken:
                shown = "/".join(map(str, key))
                errs.append(fields.duplicate(f"{path}[{index}].ports[{number}].hostPort", shown))
            taken.add(key)


def _lifecycle_and_probes(errs: Errors, path: str, container: core_v1.Container, spec: core_v1.PodSpec) -> None:
    grace = spec.terminationGracePeriodSeconds
    if container.lifecycle is not None:
        handlers.validate_lifecycle(errs, f"{path}.lifecycle", container.lifecycle, grace)
    if container.livenessProbe is not None:
        handlers.validate_probe(errs, f"{path}.livenessProbe", container.livenessProbe, once=True)
    if container.readinessProbe is not None:
        handlers.validate_probe(errs, f"{path}.readinessProbe", container.readinessProbe, once=False)
    if container.startupProbe is not None:
        handlers.validate_probe(errs, f"{path}.startupProbe", container.startupProbe, once=True)


RESTART_RULES_MAX = 20
RESTART_POLICIES = ("Always", "OnFailure", "Never")


def _restart_policy(errs: Errors, path: str, container: core_v1.Container) -> None:
    """A container's own policy, which since 1.35 any container may have, and the rules beside it."""
    checks.one_of(errs, f"{path}.restartPolicy", container.restartPolicy, RESTART_POLICIES)
    rules = container.restartPolicyRules or []
    if len(rules) > RESTART_RULES_MAX:
        errs.append(fields.too_long(f"{path}.restartPolicyRules", rules, RESTART_RULES_MAX))
    for index, rule in enumerate(rules):
        here = f"{path}.restartPolicyRules[{index}]"
        checks.required_one_of(errs, f"{here}.action", rule.action, ("Restart", "RestartAllContainers"))
        if rule.exitCodes is None:
            errs.append(fields.required(f"{here}.exitCodes", "must be specified"))
        else:
            checks.required_one_of(errs, f"{here}.exitCodes.operator", rule.exitCodes.operator, ("In", "NotIn"))


def _resize_policy(
    errs: Errors, path: str, policies: Sequence[core_v1.ContainerResizePolicy], restart_policy: str | None
) -> None:
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        if policy.resourceName in seen:
            errs.append(fields.duplicate(f"{path}[{index}]", policy.resourceName))
        seen.add(policy.resourceName)
        checks.required_one_of(errs, path, policy.resourceName, ("cpu", "memory"))
        checks.required_one_of(errs, path, policy.restartPolicy, RESIZE_POLICIES)
        if restart_policy == "Never" and policy.restartPolicy != "NotRequired":
            errs.append(
                fields.invalid(path, policy.restartPolicy, "must be 'NotRequired' when `restartPolicy` is 'Never'")
            )
