"""ControllerRevision: a past state of a StatefulSet or DaemonSet, which never changes."""

from datetime import datetime

from tiphys.api import apps_v1
from tiphys.machinery import fields, meta
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy


def validate(revision: apps_v1.ControllerRevision) -> Errors:
    errs: Errors = []
    if revision.data is None:
        errs.append(fields.required("data", "data is mandatory"))
    checks.not_negative(errs, "revision", revision.revision)
    return errs


def validate_change(revision: apps_v1.ControllerRevision, old: apps_v1.ControllerRevision) -> Errors:
    errs: Errors = []
    checks.immutable(errs, "data", revision.data, old.data)
    return errs


def _controller(revision: apps_v1.ControllerRevision, now: datetime) -> str:
    owner = meta.controller_of(revision)
    if owner is None:
        return "<none>"
    group = meta.group_of(owner.apiVersion)
    return f"{owner.kind.lower()}.{group}/{owner.name}" if group else f"{owner.kind.lower()}/{owner.name}"


ROW = Resource(
    group="apps",
    version="v1",
    kind="ControllerRevision",
    plural="controllerrevisions",
    cls=apps_v1.ControllerRevision,
    strategy=FunctionStrategy(None, validate, validate_change, counts_generation=False),
    columns=(
        NAME,
        Column("Controller", _controller, description="Whose state it is."),
        Column("Revision", lambda revision, now: revision.revision, type="integer", description="Its number."),
        AGE,
    ),
)
