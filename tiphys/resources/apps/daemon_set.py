"""DaemonSet."""

from tiphys.api import apps_v1
from tiphys.machinery import fields
from tiphys.resources import checks, subresources, workloads
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME, labels
from tiphys.resources.core.pod.template import default_template
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy

GENERATION = "deprecated.daemonset.template.generation"
COUNTS = (
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "observedGeneration",
)


def default(daemon_set: apps_v1.DaemonSet) -> None:
    spec = daemon_set.spec
    update = spec.updateStrategy
    update.type = update.type or "RollingUpdate"
    if update.type == "RollingUpdate":
        rolling = update.rollingUpdate = update.rollingUpdate or apps_v1.RollingUpdateDaemonSet()
        rolling.maxUnavailable = 1 if rolling.maxUnavailable is None else rolling.maxUnavailable
        rolling.maxSurge = 0 if rolling.maxSurge is None else rolling.maxSurge
    if spec.revisionHistoryLimit is None:
        spec.revisionHistoryLimit = 10
    default_template(spec.template)


def validate(daemon_set: apps_v1.DaemonSet) -> Errors:
    errs: Errors = []
    spec = daemon_set.spec
    workloads.validate_selector_and_template(errs, spec.selector, spec.template, "DaemonSet")
    checks.not_negative(errs, "spec.minReadySeconds", spec.minReadySeconds)
    checks.not_negative(errs, "spec.revisionHistoryLimit", spec.revisionHistoryLimit)
    _update_strategy(errs, spec.updateStrategy)
    return errs


def _update_strategy(errs: Errors, update: apps_v1.DaemonSetUpdateStrategy) -> None:
    path = "spec.updateStrategy"
    if update.type not in ("OnDelete", "RollingUpdate"):
        errs.append(fields.not_supported(f"{path}.type", update.type or "", ("RollingUpdate", "OnDelete")))
    if update.type != "RollingUpdate":
        return
    rolling = update.rollingUpdate
    if rolling is None:
        errs.append(fields.required(f"{path}.rollingUpdate"))
        return
    for name in ("maxUnavailable", "maxSurge"):
        checks.int_or_percent(errs, f"{path}.rollingUpdate.{name}", getattr(rolling, name))
        checks.not_above_100_percent(errs, f"{path}.rollingUpdate.{name}", getattr(rolling, name))
    unavailable, surge = rolling.maxUnavailable not in (0, "0%"), rolling.maxSurge not in (0, "0%")
    if unavailable and surge:
        detail = "may not be set when maxUnavailable is non-zero"
        errs.append(fields.invalid(f"{path}.rollingUpdate.maxSurge", rolling.maxSurge, detail))
    if not unavailable and not surge:
        detail = "cannot be 0 when maxSurge is 0"
        errs.append(fields.invalid(f"{path}.rollingUpdate.maxUnavailable", rolling.maxUnavailable, detail))


def validate_change(daemon_set: apps_v1.DaemonSet, old: apps_v1.DaemonSet) -> Errors:
    errs: Errors = []
    checks.immutable(errs, "spec.selector", daemon_set.spec.selector, old.spec.selector)
    return errs


def validate_status(daemon_set: apps_v1.DaemonSet) -> Errors:
    errs: Errors = []
    workloads.validate_counts(errs, daemon_set.status, COUNTS)
    return errs


class DaemonSetStrategy(FunctionStrategy):
    """The main endpoint; an annotation counts changes of the template, for clients of old."""

    def prepare_for_create(self, obj: apps_v1.DaemonSet) -> None:
        super().prepare_for_create(obj)
        obj.metadata.annotations = {**obj.metadata.annotations, GENERATION: "1"}

    def prepare_for_update(self, obj: apps_v1.DaemonSet, old: apps_v1.DaemonSet) -> None:
        super().prepare_for_update(obj, old)
        count = old.metadata.annotations.get(GENERATION, "1")
        if obj.spec.template != old.spec.template and count.isdigit():
            count = str(int(count) + 1)
        obj.metadata.annotations = {**obj.metadata.annotations, GENERATION: count}


ROW = Resource(
    group="apps",
    version="v1",
    kind="DaemonSet",
    plural="daemonsets",
    cls=apps_v1.DaemonSet,
    strategy=DaemonSetStrategy(default, validate, validate_change),
    short_names=("ds",),
    categories=("all",),
    subresources=(subresources.status(FunctionStatusStrategy(default, validate_status)),),
    columns=(
        NAME,
        Column("Desired", lambda ds, now: ds.status.desiredNumberScheduled, type="integer", description="Nodes."),
        Column("Current", lambda ds, now: ds.status.currentNumberScheduled, type="integer", description="Pods."),
        Column("Ready", lambda ds, now: ds.status.numberReady, type="integer", description="Pods that are ready."),
        Column(
            "Up-to-date",
            lambda ds, now: ds.status.updatedNumberScheduled or 0,
            type="integer",
            description="Pods made from the present template.",
        ),
        Column(
            "Available",
            lambda ds, now: ds.status.numberAvailable or 0,
            type="integer",
            description="Pods that have been ready for minReadySeconds.",
        ),
        Column("Node Selector", lambda ds, now: labels(ds.spec.template.spec.nodeSelector), description="Which nodes."),
        AGE,
        *workloads.TEMPLATE_COLUMNS,
        workloads.SELECTOR,
    ),
)
