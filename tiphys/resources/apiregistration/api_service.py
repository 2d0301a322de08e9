"""APIService: which server serves a group and version, this one or one behind a Service."""

from datetime import datetime
from typing import Any

from tiphys.api import apiregistration_v1
from tiphys.machinery import fields, names
from tiphys.machinery.conditions import find_condition
from tiphys.machinery.goformat import quote
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy

GROUP = "apiregistration.k8s.io"
PORT = 443
GROUP_PRIORITY_MAX = 20000
VERSION_PRIORITY_MAX = 1000
AVAILABLE = "Available"
STATUSES = ("True", "False", "Unknown")


def local_condition(since: str | None) -> apiregistration_v1.APIServiceCondition:
    """Of what this server itself serves."""
    return apiregistration_v1.APIServiceCondition(
        type=AVAILABLE,
        status="True",
        lastTransitionTime=since,  # type: ignore[arg-type]
        reason="Local",
        message="Local APIServices are always available",
    )


def default(service: apiregistration_v1.APIService) -> None:
    if service.spec.service is not None and service.spec.service.port is None:
        service.spec.service.port = PORT


def validate(service: apiregistration_v1.APIService) -> Errors:
    errs: Errors = []
    spec = service.spec
    group, version = spec.group or "", spec.version or ""
    name = f"{version}.{group}"
    if service.metadata.name != name and not checks.path_segment(service.metadata.name):
        detail = f'must be `spec.version+"."+spec.group`: {quote(name)}'
        errs.append(fields.invalid("metadata.name", service.metadata.name, detail))
    if not group and version != "v1":
        detail = "only v1 may have an empty group and it better be legacy kube"
        errs.append(fields.required("spec.group", detail))
    if group:
        checks.form(errs, "spec.group", group, checks.dns1123_subdomain)
    checks.form(errs, "spec.version", version, checks.dns1035_label)
    _priority(errs, "spec.groupPriorityMinimum", spec.groupPriorityMinimum, GROUP_PRIORITY_MAX)
    _priority(errs, "spec.versionPriority", spec.versionPriority, VERSION_PRIORITY_MAX)
    return errs + (_local(spec) if spec.service is None else _remote(spec, spec.service))


def _priority(errs: Errors, path: str, value: int, maximum: int) -> None:
    if not 0 < value <= maximum:
        errs.append(fields.invalid(path, value, f"must be positive and less than {maximum}"))


def _local(spec: apiregistration_v1.APIServiceSpec) -> Errors:
    errs: Errors = []
    if spec.caBundle:
        size = f"{len(spec.caBundle)} bytes"
        errs.append(fields.invalid("spec.caBundle", size, "local APIServices may not have a caBundle"))
    if spec.insecureSkipTLSVerify:
        detail = "local APIServices may not have insecureSkipTLSVerify"
        errs.append(fields.invalid("spec.insecureSkipTLSVerify", True, detail))
    return errs


def _remote(spec: apiregistration_v1.APIServiceSpec, service: apiregistration_v1.ServiceReference) -> Errors:
    errs: Errors = []
    if not service.namespace:
        errs.append(fields.required("spec.service.namespace"))
    if not service.name:
        errs.append(fields.required("spec.service.name"))
    port = service.port or 0
    problems = names.port_number(port)
    if problems:
        errs.append(fields.invalid("spec.service.port", port, "port is not valid: " + ", ".join(problems)))
    if spec.insecureSkipTLSVerify and spec.caBundle:
        errs.append(fields.invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present"))
    return errs


def validate_status(service: apiregistration_v1.APIService) -> Errors:
    errs: Errors = []
    for index, condition in enumerate(service.status.conditions or ()):
        checks.one_of(errs, f"status.conditions[{index}].status", condition.status, STATUSES)
    return errs


class _Strategy(FunctionStrategy):
    def prepare_for_create(self, obj: Any) -> None:
        super().prepare_for_create(obj)
        if obj.spec.service is None:
            obj.status.conditions = [local_condition(obj.metadata.creationTimestamp)]


def _service(each: apiregistration_v1.APIService, now: datetime) -> str:
    service = each.spec.service
    return "Local" if service is None else f"{service.namespace}/{service.name}"


def _available(each: apiregistration_v1.APIService, now: datetime) -> str:
    condition = find_condition(each.status.conditions, AVAILABLE)
    if condition is None:
        return "Unknown"
    if condition.status == "True" or not condition.reason:
        return condition.status
    return f"{condition.status} ({condition.reason})"


ROW = Resource(
    group=GROUP,
    version="v1",
    kind="APIService",
    plural="apiservices",
    cls=apiregistration_v1.APIService,
    strategy=_Strategy(default, validate, counts_generation=False, unconditional_update=False),
    namespaced=False,
    categories=("api-extensions",),
    subresources=(subresources.status(FunctionStatusStrategy(default, validate_status)),),
    name_problems=names.path_segment,
    columns=(
        NAME,
        Column("Service", _service, description="The Service behind which the server is, or Local."),
        Column("Available", _available, description="Whether it can be used."),
        AGE,
    ),
)
