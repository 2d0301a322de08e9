"""StatefulSet."""

from datetime import datetime

import msgspec

from tiphys.api import apps_v1
from tiphys.machinery import fields
from tiphys.resources import checks, subresources, workloads
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.core.persistent_volume_claim import default as default_claim
from tiphys.resources.core.pod.template import default_template
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStatusStrategy, FunctionStrategy

CHANGEABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
FROZEN = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def default(stateful_set: apps_v1.StatefulSet) -> None:
    spec = stateful_set.spec
    spec.podManagementPolicy = spec.podManagementPolicy or "OrderedReady"
    update = spec.updateStrategy
    if not update.type:
        update.type = "RollingUpdate"
    if update.type == "RollingUpdate":
        rolling = update.rollingUpdate = update.rollingUpdate or apps_v1.RollingUpdateStatefulSetStrategy()
        rolling.partition = rolling.partition or 0
    policy = spec.persistentVolumeClaimRetentionPolicy
    if policy is None:
        policy = apps_v1.StatefulSetPersistentVolumeClaimRetentionPolicy()
        spec.persistentVolumeClaimRetentionPolicy = policy
    policy.whenDeleted = policy.whenDeleted or "Retain"
    policy.whenScaled = policy.whenScaled or "Retain"
    if spec.replicas is None:
        spec.replicas = 1
    if spec.revisionHistoryLimit is None:
        spec.revisionHistoryLimit = 10
    default_template(spec.template)
    for claim in spec.volumeClaimTemplates or ():
        default_claim(claim)


def validate(stateful_set: apps_v1.StatefulSet) -> Errors:
    errs: Errors = []
    spec = stateful_set.spec
    policies = ("OrderedReady", "Parallel")
    if spec.podManagementPolicy not in policies:
        detail = "must be 'OrderedReady' or 'Parallel'"
        errs.append(fields.invalid("spec.podManagementPolicy", spec.podManagementPolicy, detail))
    if spec.updateStrategy.type not in ("OnDelete", "RollingUpdate"):
        detail = "must be 'RollingUpdate' or 'OnDelete'"
        errs.append(fields.invalid("spec.updateStrategy", spec.updateStrategy, detail))
    rolling = spec.updateStrategy.rollingUpdate
    if rolling is not None:
        if spec.updateStrategy.type == "OnDelete":
            detail = "only allowed for updateStrategy 'RollingUpdate'"
            errs.append(fields.invalid("spec.updateStrategy.rollingUpdate", rolling, detail))
        checks.not_negative(errs, "spec.updateStrategy.rollingUpdate.partition", rolling.partition)
    checks.not_negative(errs, "spec.replicas", spec.replicas)
    checks.not_negative(errs, "spec.minReadySeconds", spec.minReadySeconds)
    if spec.ordinals is not None:
        checks.not_negative(errs, "spec.ordinals.start", spec.ordinals.start)
    if (kept := spec.persistentVolumeClaimRetentionPolicy) is not None:
        path = "spec.persistentVolumeClaimRetentionPolicy"
        checks.one_of(errs, f"{path}.whenDeleted", kept.whenDeleted, ("Retain", "Delete"))
        checks.one_of(errs, f"{path}.whenScaled", kept.whenScaled, ("Retain", "Delete"))
    workloads.validate_selector_and_template(errs, spec.selector, spec.template, "StatefulSet")
    return errs


def validate_change(stateful_set: apps_v1.StatefulSet, old: apps_v1.StatefulSet) -> Errors:
    kept = {name: getattr(old.spec, name) for name in CHANGEABLE}
    if msgspec.structs.replace(stateful_set.spec, **kept) != old.spec:
        return [fields.forbidden("spec", FROZEN)]
    return []


def validate_status(stateful_set: apps_v1.StatefulSet) -> Errors:
    errs: Errors = []
    workloads.validate_ready_counts(errs, stateful_set.status, ("currentReplicas", "updatedReplicas"))
    return errs


def _ready(stateful_set: apps_v1.StatefulSet, now: datetime) -> str:
    return f"{stateful_set.status.readyReplicas or 0}/{stateful_set.spec.replicas or 0}"


ROW = Resource(
    group="apps",
    version="v1",
    kind="StatefulSet",
    plural="statefulsets",
    cls=apps_v1.StatefulSet,
    strategy=FunctionStrategy(default, validate, validate_change),
    short_names=("sts",),
    categories=("all",),
    subresources=(
        subresources.SCALE,
        subresources.status(FunctionStatusStrategy(default, validate_status)),
    ),
    columns=(
        NAME,
        Column("Ready", _ready, description="Pods that are ready, of those desired."),
        AGE,
        *workloads.TEMPLATE_COLUMNS,
    ),
    name_problems=checks.dns1123_subdomain,
)
