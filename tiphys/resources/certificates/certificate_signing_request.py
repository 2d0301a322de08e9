"""CertificateSigningRequest."""

from collections.abc import Sequence
from datetime import datetime

from tiphys.api import certificates_v1
from tiphys.machinery import fields, times
from tiphys.machinery.fields import FieldError
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource, Strategy, Subresource
from tiphys.resources.strategies import FunctionStrategy

SHORTEST_SECONDS = 600
#: Conditions that are there for good, and then true.
FINAL = ("Approved", "Denied", "Failed")
USERS = ("username", "uid", "groups", "extra")


def validate(request: certificates_v1.CertificateSigningRequest) -> Errors:
    errs: Errors = []
    spec = request.spec
    if not spec.request:
        errs.append(fields.required("spec.request"))
    elif b"BEGIN CERTIFICATE REQUEST" not in spec.request:
        detail = "PEM block type must be CERTIFICATE REQUEST"
        errs.append(fields.invalid("spec.request", spec.request.decode(errors="replace"), detail))
    if not spec.usages:
        errs.append(fields.required("spec.usages", "usages must be provided"))
    domain, separator, path = spec.signerName.partition("/")
    if not spec.signerName:
        errs.append(fields.required("spec.signerName"))
    elif not separator or not path:
        detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        errs.append(fields.invalid("spec.signerName", spec.signerName, detail))
    else:
        checks.form(errs, "spec.signerName", domain, checks.dns1123_subdomain)
    if spec.expirationSeconds is not None and spec.expirationSeconds < SHORTEST_SECONDS:
        detail = "may not specify a duration less than 600 seconds (10 minutes)"
        errs.append(fields.invalid("spec.expirationSeconds", spec.expirationSeconds, detail))
    return errs


def _conditions(errs: Errors, conditions: Sequence[certificates_v1.CertificateSigningRequestCondition]) -> None:
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        here = f"status.conditions[{index}]"
        if not condition.type:
            errs.append(fields.required(f"{here}.type"))
        statuses = ("True",) if condition.type in FINAL else ("False", "True", "Unknown")
        checks.required_one_of(errs, f"{here}.status", condition.status, statuses)
        other = {"Approved": "Denied", "Denied": "Approved"}.get(condition.type)
        if other in seen:
            detail = "Approved and Denied conditions are mutually exclusive"
            errs.append(fields.invalid(f"{here}.type", condition.type, detail))
        if condition.type in seen:
            errs.append(fields.duplicate(f"{here}.type", condition.type))
        seen.add(condition.type)


def _decisions(
    errs: Errors,
    new: Sequence[certificates_v1.CertificateSigningRequestCondition],
    old: Sequence[certificates_v1.CertificateSigningRequestCondition],
) -> None:
    """What was decided stays decided."""
    for kind in FINAL:
        before = [condition for condition in old if condition.type == kind]
        after = [condition for condition in new if condition.type == kind]
        if before and before != after:
            what = "modify" if after else "remove"
            detail = f'updates may not {what} a condition of type "{kind}"'
            errs.append(fields.forbidden("status.conditions", detail))


class RequestStrategy(FunctionStrategy):
    """The main endpoint; who asks is written by the API server."""

    def prepare_for_update(
        self, obj: certificates_v1.CertificateSigningRequest, old: certificates_v1.CertificateSigningRequest
    ) -> None:
        obj.spec = old.spec
        obj.status = old.status


class ApprovalStrategy(Strategy[certificates_v1.CertificateSigningRequest]):
    """``/approval``: only conditions change."""

    def prepare_for_update(
        self, obj: certificates_v1.CertificateSigningRequest, old: certificates_v1.CertificateSigningRequest
    ) -> None:
        obj.spec = old.spec
        obj.status.certificate = old.status.certificate

    def validate_update(
        self, obj: certificates_v1.CertificateSigningRequest, old: certificates_v1.CertificateSigningRequest
    ) -> list[FieldError]:
        errs: Errors = []
        _conditions(errs, obj.status.conditions or [])
        _decisions(errs, obj.status.conditions or [], old.status.conditions or [])
        return errs


class RequestStatusStrategy(Strategy[certificates_v1.CertificateSigningRequest]):
    """``/status``: written by signers."""

    def prepare_for_update(
        self, obj: certificates_v1.CertificateSigningRequest, old: certificates_v1.CertificateSigningRequest
    ) -> None:
        obj.spec = old.spec

    def validate_update(
        self, obj: certificates_v1.CertificateSigningRequest, old: certificates_v1.CertificateSigningRequest
    ) -> list[FieldError]:
        errs: Errors = []
        if old.status.certificate:
            checks.immutable(errs, "status.certificate", obj.status.certificate, old.status.certificate)
        return errs


def _duration(request: certificates_v1.CertificateSigningRequest, now: datetime) -> str:
    seconds = request.spec.expirationSeconds
    return times.human_duration(seconds) if seconds is not None else "<none>"


def _condition(request: certificates_v1.CertificateSigningRequest, now: datetime) -> str:
    kinds = {condition.type for condition in request.status.conditions or ()}
    words = ["Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"]
    if "Failed" in kinds:
        words.append("Failed")
    if request.status.certificate:
        words.append("Issued")
    return ",".join(words)


ROW = Resource(
    group="certificates.k8s.io",
    version="v1",
    kind="CertificateSigningRequest",
    plural="certificatesigningrequests",
    cls=certificates_v1.CertificateSigningRequest,
    strategy=RequestStrategy(None, validate, counts_generation=False),
    namespaced=False,
    short_names=("csr",),
    subresources=(
        Subresource("approval", subresources.READ_WRITE, strategy=ApprovalStrategy()),
        subresources.status(RequestStatusStrategy()),
    ),
    columns=(
        NAME,
        AGE,
        Column("SignerName", lambda each, now: each.spec.signerName, description="Who shall sign."),
        Column("Requestor", lambda each, now: each.spec.username or "", description="Who asks."),
        Column("RequestedDuration", _duration, description="For how long."),
        Column("Condition", _condition, description="How it stands."),
    ),
    fields={"spec.signerName": lambda each: each.spec.signerName},
)
