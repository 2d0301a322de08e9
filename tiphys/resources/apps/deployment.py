"""Deployment."""

from datetime import datetime

from tiphys.api import apps_v1
from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.resources import checks, subresources, workloads
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.core.pod.template import default_template
from tiphys.resources.core.pod.warnings import pod_spec_warnings
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy

QUARTER = "25%"


def default(deployment: apps_v1.Deployment) -> None:
    spec = deployment.spec
    if spec.replicas is None:
        spec.replicas = 1
    strategy = spec.strategy
    strategy.type = strategy.type or "RollingUpdate"
    if strategy.type == "RollingUpdate":
        rolling = strategy.rollingUpdate = strategy.rollingUpdate or apps_v1.RollingUpdateDeployment()
        rolling.maxUnavailable = QUARTER if rolling.maxUnavailable is None else rolling.maxUnavailable
        rolling.maxSurge = QUARTER if rolling.maxSurge is None else rolling.maxSurge
    if spec.revisionHistoryLimit is None:
        spec.revisionHistoryLimit = 10
    if spec.progressDeadlineSeconds is None:
        spec.progressDeadlineSeconds = 600
    default_template(spec.template)


def validate(deployment: apps_v1.Deployment) -> Errors:
    errs: Errors = []
    spec = deployment.spec
    checks.not_negative(errs, "spec.replicas", spec.replicas)
    # Its Pods are a ReplicaSet's, and so says the message.
    workloads.validate_selector_and_template(errs, spec.selector, spec.template, "ReplicaSet")
    _strategy(errs, spec.strategy)
    checks.not_negative(errs, "spec.minReadySeconds", spec.minReadySeconds)
    checks.not_negative(errs, "spec.revisionHistoryLimit", spec.revisionHistoryLimit)
    deadline = spec.progressDeadlineSeconds
    if deadline is not None:
        checks.not_negative(errs, "spec.progressDeadlineSeconds", deadline)
        if deadline <= (spec.minReadySeconds or 0):
            detail = "must be greater than minReadySeconds"
            errs.append(fields.invalid("spec.progressDeadlineSeconds", deadline, detail))
    return errs


def _strategy(errs: Errors, strategy: apps_v1.DeploymentStrategy) -> None:
    path = "spec.strategy.rollingUpdate"
    rolling = strategy.rollingUpdate
    if strategy.type == "Recreate":
        if rolling is not None:
            errs.append(fields.forbidden(path, "may not be specified when strategy `type` is 'Recreate'"))
    elif strategy.type != "RollingUpdate":
        errs.append(fields.not_supported("spec.strategy.type", strategy.type or "", ("Recreate", "RollingUpdate")))
    elif rolling is None:
        errs.append(fields.required(path, "this should be defaulted and never be nil"))
    else:
        checks.int_or_percent(errs, f"{path}.maxUnavailable", rolling.maxUnavailable)
        checks.int_or_percent(errs, f"{path}.maxSurge", rolling.maxSurge)
        if rolling.maxUnavailable in ZERO and rolling.maxSurge in ZERO:
            detail = "may not be 0 when `maxSurge` is 0"
            errs.append(fields.invalid(f"{path}.maxUnavailable", rolling.maxUnavailable, detail))
        checks.not_above_100_percent(errs, f"{path}.maxUnavailable", rolling.maxUnavailable)


ZERO = (0, "0%")


class DeploymentStrategy(SpecStrategy[apps_v1.Deployment]):
    """The main endpoint."""

    def default(self, obj: apps_v1.Deployment) -> None:
        default(obj)

    def validate_create(self, obj: apps_v1.Deployment) -> list[FieldError]:
        return validate(obj)

    def spec_changed(self, obj: apps_v1.Deployment, old: apps_v1.Deployment) -> bool:
        """Annotations count as well: the controller copies them to its ReplicaSets."""
        return obj.spec != old.spec or obj.metadata.annotations != old.metadata.annotations

    def validate_update(self, obj: apps_v1.Deployment, old: apps_v1.Deployment) -> list[FieldError]:
        errs = validate(obj)
        checks.immutable(errs, "spec.selector", obj.spec.selector, old.spec.selector)
        return errs

    def warnings(self, obj: apps_v1.Deployment, old: apps_v1.Deployment | None) -> list[str]:
        if old is not None and obj.spec.template == old.spec.template:
            return []
        return pod_spec_warnings("spec.template.spec", obj.spec.template.spec)


class DeploymentStatusStrategy(StatusStrategy[apps_v1.Deployment]):
    """``/status``: written by the deployment controller."""

    def default(self, obj: apps_v1.Deployment) -> None:
        default(obj)

    def prepare_for_update(self, obj: apps_v1.Deployment, old: apps_v1.Deployment) -> None:
        super().prepare_for_update(obj, old)
        obj.metadata.labels = old.metadata.labels

    def validate_update(self, obj: apps_v1.Deployment, old: apps_v1.Deployment) -> list[FieldError]:
        errs: Errors = []
        workloads.validate_ready_counts(errs, obj.status, ("updatedReplicas",))
        workloads.validate_counts(errs, obj.status, ("unavailableReplicas",))
        if (obj.status.collisionCount or 0) < (old.status.collisionCount or 0):
            detail = "cannot be decremented"
            errs.append(fields.invalid("status.collisionCount", obj.status.collisionCount or 0, detail))
        return errs


def _ready(deployment: apps_v1.Deployment, now: datetime) -> str:
    return f"{deployment.status.readyReplicas or 0}/{deployment.spec.replicas or 0}"


ROW = Resource(
    group="apps",
    version="v1",
    kind="Deployment",
    plural="deployments",
    cls=apps_v1.Deployment,
    strategy=DeploymentStrategy(),
    short_names=("deploy",),
    categories=("all",),
    subresources=(subresources.SCALE, subresources.status(DeploymentStatusStrategy())),
    columns=(
        NAME,
        Column("Ready", _ready, description="Pods that are ready, of those desired."),
        Column(
            "Up-to-date",
            lambda deployment, now: deployment.status.updatedReplicas or 0,
            type="integer",
            description="Pods made from the present template.",
        ),
        Column(
            "Available",
            lambda deployment, now: deployment.status.availableReplicas or 0,
            type="integer",
            description="Pods that have been ready for minReadySeconds.",
        ),
        AGE,
        *workloads.TEMPLATE_COLUMNS,
        workloads.SELECTOR,
    ),
)
