"""CronJob."""

from datetime import datetime
from zoneinfo import available_timezones

from tiphys.api import batch_v1
from tiphys.machinery import cron, fields
from tiphys.resources import checks, columns, subresources
from tiphys.resources.batch.job import validate_spec
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME, since
from tiphys.resources.core.pod.template import default_template
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy

#: What a controller appends to the name when it makes Jobs has to fit as well.
NAME_MAX = 52
POLICIES = ("Allow", "Forbid", "Replace")


def default(cron_job: batch_v1.CronJob) -> None:
    spec = cron_job.spec
    spec.concurrencyPolicy = spec.concurrencyPolicy or "Allow"
    if spec.suspend is None:
        spec.suspend = False
    if spec.successfulJobsHistoryLimit is None:
        spec.successfulJobsHistoryLimit = 3
    if spec.failedJobsHistoryLimit is None:
        spec.failedJobsHistoryLimit = 1
    default_template(spec.jobTemplate.spec.template)


def validate(cron_job: batch_v1.CronJob) -> Errors:
    errs: Errors = []
    spec = cron_job.spec
    if not spec.schedule:
        errs.append(fields.required("spec.schedule"))
    else:
        _schedule(errs, spec.schedule)
    if spec.timeZone is not None:
        _time_zone(errs, spec.timeZone)
    checks.one_of(errs, "spec.concurrencyPolicy", spec.concurrencyPolicy, POLICIES)
    for name in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        checks.not_negative(errs, f"spec.{name}", getattr(spec, name))
    if spec.jobTemplate.spec.manualSelector:
        errs.append(fields.not_supported("spec.jobTemplate.spec.manualSelector", True, ("nil", "false")))
    validate_spec(errs, "spec.jobTemplate.spec", spec.jobTemplate.spec)
    return errs


def _schedule(errs: Errors, schedule: str) -> None:
    path = "spec.schedule"
    if "TZ" in schedule:
        detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        errs.append(fields.invalid(path, schedule, detail))
    try:
        cron.parse(schedule)
    except ValueError as error:
        errs.append(fields.invalid(path, schedule, str(error)))


def _time_zone(errs: Errors, zone: str) -> None:
    if not zone:
        errs.append(fields.invalid("spec.timeZone", zone, "timeZone must be nil or non-empty string"))
    elif zone.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        errs.append(fields.invalid("spec.timeZone", zone, detail))
    elif zone not in available_timezones():
        errs.append(fields.invalid("spec.timeZone", zone, f"unknown time zone {zone}"))


def name_problems(name: str) -> list[str]:
    found = list(checks.dns1123_subdomain(name))
    if len(name) > NAME_MAX:
        found.append(f"must be no more than {NAME_MAX} characters")
    return found


def _last(cron_job: batch_v1.CronJob, now: datetime) -> str:
    last = cron_job.status.lastScheduleTime
    return since(last, now) if last else "<none>"


def _template(cron_job: batch_v1.CronJob, field: str) -> str:
    containers = cron_job.spec.jobTemplate.spec.template.spec.containers
    return columns.joined(getattr(container, field) or "" for container in containers)


ROW = Resource(
    group="batch",
    version="v1",
    kind="CronJob",
    plural="cronjobs",
    cls=batch_v1.CronJob,
    strategy=FunctionStrategy(default, validate),
    short_names=("cj",),
    categories=("all",),
    subresources=(subresources.status(FunctionStatusStrategy(default)),),
    columns=(
        NAME,
        Column("Schedule", lambda job, now: job.spec.schedule, description="When it runs."),
        Column("Timezone", lambda job, now: job.spec.timeZone or "<none>", description="In which time zone."),
        Column("Suspend", lambda job, now: "True" if job.spec.suspend else "False", description="Whether it rests."),
        Column("Active", lambda job, now: len(job.status.active or ()), type="integer", description="Jobs running."),
        Column("Last Schedule", _last, description="When it ran last."),
        AGE,
        Column("Containers", lambda job, now: _template(job, "name"), priority=1, description="Its containers."),
        Column("Images", lambda job, now: _template(job, "image"), priority=1, description="Their images."),
        Column(
            "Selector",
            lambda job, now: columns.label_selector(job.spec.jobTemplate.spec.selector),
            priority=1,
            description="Which Pods belong to it.",
        ),
    ),
    name_problems=name_problems,
)
