"""Job."""

from datetime import datetime

import msgspec

from tiphys.api import batch_v1, meta_v1
from tiphys.machinery import conditions, fields, times
from tiphys.resources import checks, subresources, workloads
from tiphys.resources.batch import policies
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.core.pod.template import default_template, validate_template
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
OLD_CONTROLLER_UID = "controller-uid"
OLD_JOB_NAME = "job-name"
MANAGER_MAX = 63
IMMUTABLE = (
    "completions",
    "selector",
    "template",
    "completionMode",
    "podFailurePolicy",
    "successPolicy",
    "backoffLimitPerIndex",
    "managedBy",
)


def default(job: batch_v1.Job) -> None:
    spec = job.spec
    if spec.completions is None and spec.parallelism is None:
        spec.completions = spec.parallelism = 1
    if spec.parallelism is None:
        spec.parallelism = 1
    if spec.backoffLimit is None:
        spec.backoffLimit = 6 if spec.backoffLimitPerIndex is None else checks.MAX_INT32
    policies.default(spec)
    spec.completionMode = spec.completionMode or "NonIndexed"
    if spec.suspend is None:
        spec.suspend = False
    if spec.podReplacementPolicy is None:
        spec.podReplacementPolicy = "TerminatingOrFailed" if spec.podFailurePolicy is None else "Failed"
    if spec.manualSelector is None:
        spec.manualSelector = False
    if not job.metadata.labels and spec.template.metadata.labels:
        job.metadata.labels = dict(spec.template.metadata.labels)
    default_template(spec.template)


def generate_selector(job: batch_v1.Job) -> None:
    """A Job finds its Pods by its own uid, unless the client manages the selector."""
    if job.spec.manualSelector:
        return
    uid, name = job.metadata.uid, job.metadata.name
    wanted = {OLD_CONTROLLER_UID: uid, OLD_JOB_NAME: name, CONTROLLER_UID: uid, JOB_NAME: name}
    template = job.spec.template
    template.metadata.labels = {**wanted, **template.metadata.labels}
    selector = job.spec.selector or meta_v1.LabelSelector()
    selector.matchLabels = {**(selector.matchLabels or {}), CONTROLLER_UID: uid}
    job.spec.selector = selector


def validate_spec(errs: Errors, path: str, spec: batch_v1.JobSpec) -> None:
    for name in (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ):
        checks.not_negative(errs, f"{path}.{name}", getattr(spec, name))
    if spec.completionMode is not None:
        checks.one_of(errs, f"{path}.completionMode", spec.completionMode, ("Indexed", "NonIndexed"))
    if spec.completionMode == "Indexed" and spec.completions is None:
        errs.append(fields.required(f"{path}.completions", "when completion mode is Indexed"))
    if spec.completionMode != "Indexed" and spec.backoffLimitPerIndex is not None:
        detail = "requires indexed completion mode"
        errs.append(fields.invalid(f"{path}.backoffLimitPerIndex", spec.backoffLimitPerIndex, detail))
    policies.validate(errs, path, spec)
    if spec.managedBy is not None:
        _managed_by(errs, f"{path}.managedBy", spec.managedBy)
    validate_template(errs, f"{path}.template", spec.template)
    policy = spec.template.spec.restartPolicy
    if policy == "Always":
        detail_path = f"{path}.template.spec.restartPolicy"
        errs.append(fields.required(detail_path, 'valid values: "OnFailure", "Never"'))
    if spec.podFailurePolicy is not None and policy != "Never":
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        errs.append(fields.invalid(f"{path}.template.spec.restartPolicy", policy, detail))


def _managed_by(errs: Errors, path: str, name: str) -> None:
    domain, slash, rest = name.partition("/")
    if not slash or not domain or not rest:
        errs.append(fields.invalid(path, name, 'must be a domain-prefixed path (such as "acme.io/foo")'))
    else:
        checks.form(errs, path, domain, checks.dns1123_subdomain)
    if len(name) > MANAGER_MAX:
        errs.append(fields.too_long(path, name, MANAGER_MAX))


def validate(job: batch_v1.Job) -> Errors:
    errs: Errors = []
    spec = job.spec
    if checks.is_empty(spec.selector):
        errs.append(fields.required("spec.selector"))
    else:
        checks.label_selector(errs, "spec.selector", spec.selector)
    validate_spec(errs, "spec", spec)
    wanted = (spec.selector.matchLabels if spec.selector else None) or {}
    labels = spec.template.metadata.labels
    if any(labels.get(key) != value for key, value in wanted.items()):
        errs.append(fields.invalid("spec.template.metadata.labels", labels, workloads.MISMATCH))
    return errs


def validate_change(job: batch_v1.Job, old: batch_v1.Job) -> Errors:
    """Completions of an Indexed Job may follow its parallelism; a suspended Job's template may be scheduled anew."""
    errs: Errors = []
    for name in IMMUTABLE:
        new, before = getattr(job.spec, name), getattr(old.spec, name)
        if name == "completions" and job.spec.completionMode == "Indexed" and new == job.spec.parallelism:
            continue
        if name == "template" and old.spec.suspend and not old.status.startTime:
            new = _with_old_scheduling(job, old)
        checks.immutable(errs, f"spec.{name}", new, before)
    return errs


def _with_old_scheduling(job: batch_v1.Job, old: batch_v1.Job) -> object:
    before = old.spec.template
    spec = msgspec.structs.replace(
        job.spec.template.spec,
        nodeSelector=before.spec.nodeSelector,
        affinity=before.spec.affinity,
        tolerations=before.spec.tolerations,
        schedulingGates=before.spec.schedulingGates,
    )
    metadata = msgspec.structs.replace(
        job.spec.template.metadata, labels=before.metadata.labels, annotations=before.metadata.annotations
    )
    return msgspec.structs.replace(job.spec.template, spec=spec, metadata=metadata)


class JobStrategy(FunctionStrategy):
    """The main endpoint."""

    def prepare_for_create(self, obj: batch_v1.Job) -> None:
        super().prepare_for_create(obj)
        generate_selector(obj)


def validate_status(job: batch_v1.Job) -> Errors:
    errs: Errors = []
    workloads.validate_counts(errs, job.status, ("active", "succeeded", "failed", "ready", "terminating"))
    return errs


def _status(job: batch_v1.Job, now: datetime) -> str:
    for kind, shown in (
        ("Complete", "Complete"),
        ("Failed", "Failed"),
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet"),
    ):
        if conditions.is_true(job.status.conditions, kind):
            return shown
    return "Terminating" if job.metadata.deletionTimestamp else "Running"


def _completions(job: batch_v1.Job, now: datetime) -> str:
    done = job.status.succeeded or 0
    if job.spec.completions is not None:
        return f"{done}/{job.spec.completions}"
    parallelism = job.spec.parallelism or 0
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _duration(job: batch_v1.Job, now: datetime) -> str:
    if job.status.startTime is None:
        return ""
    end = times.parse(job.status.completionTime) if job.status.completionTime else now
    return times.human_duration((end - times.parse(job.status.startTime)).total_seconds())


ROW = Resource(
    group="batch",
    version="v1",
    kind="Job",
    plural="jobs",
    cls=batch_v1.Job,
    strategy=JobStrategy(default, validate, validate_change),
    categories=("all",),
    subresources=(subresources.status(FunctionStatusStrategy(default, validate_status)),),
    columns=(
        NAME,
        Column("Status", _status, description="How it stands."),
        Column("Completions", _completions, description="Pods that succeeded, of those wanted."),
        Column("Duration", _duration, description="How long it runs or ran."),
        AGE,
        *workloads.TEMPLATE_COLUMNS,
        workloads.SELECTOR,
    ),
    fields={"status.successful": lambda job: str(job.status.succeeded or 0)},
)
