"""Validation of environment variables and of references to fields of a Pod or a container."""

import re
from collections.abc import Sequence

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors

ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
#: Everything that a field reference may name at all; which of them depends on where it stands.
KNOWN_FIELDS = {*ENV_FIELDS, *VOLUME_FIELDS, "spec.restartPolicy", "spec.schedulerName"}
RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
HUGE_PAGES = ("limits.hugepages-", "requests.hugepages-")
CPU_DIVISORS = ("1m", "1")
BYTE_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
DIVIDED = {"ephemeral-storage": "local ephemeral storage", "memory": "memory", "cpu": "cpu"}
SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_subscripted = re.compile(r"^(.*)\['(.*)'\]$").match


def validate_env(errs: Errors, path: str, variables: Sequence[core_v1.EnvVar]) -> None:
    for index, variable in enumerate(variables):
        if not variable.name:
            errs.append(fields.required(f"{path}[{index}].name"))
        elif checks.env_var_name(variable.name):
            checks.form(errs, f"{path}[{index}].name", variable.name, checks.env_var_name)
        if variable.valueFrom is not None:
            _value_from(errs, f"{path}[{index}].valueFrom", variable, variable.valueFrom)


def _value_from(errs: Errors, path: str, variable: core_v1.EnvVar, source: core_v1.EnvVarSource) -> None:
    present = [field for field in SOURCES if getattr(source, field) is not None]
    if source.fieldRef is not None:
        validate_field_reference(errs, f"{path}.fieldRef", source.fieldRef, ENV_FIELDS)
    if source.resourceFieldRef is not None:
        validate_resource_reference(errs, f"{path}.resourceFieldRef", source.resourceFieldRef, volume=False)
    for field, reference in (("configMapKeyRef", source.configMapKeyRef), ("secretKeyRef", source.secretKeyRef)):
        if reference is not None:
            checks.form(errs, f"{path}.{field}.name", reference.name or "", checks.dns1123_subdomain)
            checks.required_form(errs, f"{path}.{field}.key", reference.key, checks.config_map_key)
    if source.fileKeyRef is not None:
        for field in ("key", "volumeName", "path"):
            if not getattr(source.fileKeyRef, field):
                errs.append(fields.required(f"{path}.fileKeyRef.{field}"))
    if not present:
        known = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        errs.append(fields.invalid(path, "", f"must specify one of: {known}"))
    elif variable.value:
        errs.append(fields.invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(present) > 1:
        errs.append(fields.invalid(path, "", "may not have more than one field specified at a time"))


def validate_field_reference(
    errs: Errors, path: str, reference: core_v1.ObjectFieldSelector, supported: Sequence[str]
) -> None:
    name = reference.fieldPath
    if not reference.apiVersion:
        errs.append(fields.required(f"{path}.apiVersion"))
        return
    if not name:
        errs.append(fields.required(f"{path}.fieldPath"))
        return
    found = _subscripted(name)
    if reference.apiVersion != "v1" or not (found or name in KNOWN_FIELDS):
        kind = "unsupported pod version" if reference.apiVersion != "v1" else "field label not supported"
        shown = reference.apiVersion if reference.apiVersion != "v1" else name
        errs.append(fields.invalid(f"{path}.fieldPath", name, f"error converting fieldPath: {kind}: {shown}"))
    elif found:
        _subscript(errs, path, *found.groups())
    elif name not in supported:
        checks.one_of(errs, f"{path}.fieldPath", name, supported)


def _subscript(errs: Errors, path: str, name: str, subscript: str) -> None:
    if name == "metadata.annotations":
        checks.form(errs, path, subscript.lower(), checks.qualified_name)
    elif name == "metadata.labels":
        checks.form(errs, path, subscript, checks.qualified_name)
    else:
        errs.append(
            fields.invalid(
                f"{path}.fieldPath",
                f"{name}['{subscript}']",
                f"error converting fieldPath: field label does not support subscript: {name}['{subscript}']",
            )
        )


def validate_resource_reference(
    errs: Errors, path: str, reference: core_v1.ResourceFieldSelector, *, volume: bool
) -> None:
    name = reference.resource
    if volume and not reference.containerName:
        errs.append(fields.required(f"{path}.containerName"))
    elif not name:
        errs.append(fields.required(f"{path}.resource"))
    elif name not in RESOURCES and not name.startswith(HUGE_PAGES):
        checks.one_of(errs, f"{path}.resource", name, RESOURCES)
    divisor = str(reference.divisor or "0")
    if divisor == "0":
        return
    resource = name.partition(".")[2]
    kind = "hugepages" if name.startswith(HUGE_PAGES) else DIVIDED.get(resource)
    if kind == "cpu" and divisor not in CPU_DIVISORS:
        detail = "only divisor's values 1m and 1 are supported with the cpu resource"
        errs.append(fields.invalid(f"{path}.divisor", name, detail))
    elif kind not in (None, "cpu") and divisor not in BYTE_DIVISORS:
        detail = f"only divisor's values {', '.join(BYTE_DIVISORS)} are supported with the {kind} resource"
        errs.append(fields.invalid(f"{path}.divisor", name, detail))


def validate_env_from(errs: Errors, path: str, sources: Sequence[core_v1.EnvFromSource]) -> None:
    for index, source in enumerate(sources):
        if source.prefix:
            checks.form(errs, f"{path}[{index}].prefix", source.prefix, checks.env_var_name)
        for field, reference in (("configMapRef", source.configMapRef), ("secretRef", source.secretRef)):
            if reference is not None:
                here = f"{path}[{index}].{field}.name"
                checks.required_form(errs, here, reference.name, checks.dns1123_subdomain)
        count = (source.configMapRef is not None) + (source.secretRef is not None)
        if count == 0:
            errs.append(fields.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif count > 1:
            errs.append(fields.invalid(path, "", "may not have more than one field specified at a time"))
