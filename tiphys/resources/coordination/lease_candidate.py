"""LeaseCandidate: who would hold a Lease if it were chosen (coordinated leader election).

Beta: served with ``--runtime-config``. Source: KEP-4355 Coordinated Leader Election.
"""

import re
from typing import Any

from tiphys.api import coordination_v1alpha2, coordination_v1beta1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy
from tiphys.resources.versions import older

VERSION = re.compile(r"\d+\.\d+(\.\d+)?([-+].*)?$")
STRATEGY = "OldestEmulationVersion"


def _version(errs: Errors, path: str, value: str) -> None:
    if not VERSION.match(value):
        errs.append(fields.invalid(path, value, "must be a valid semantic version"))


def validate(candidate: Any) -> Errors:
    errs: Errors = []
    spec = candidate.spec
    if not spec.leaseName:
        errs.append(fields.required("spec.leaseName"))
    else:
        checks.form(errs, "spec.leaseName", spec.leaseName, checks.dns1123_subdomain)
    if not spec.binaryVersion:
        errs.append(fields.required("spec.binaryVersion"))
    else:
        _version(errs, "spec.binaryVersion", spec.binaryVersion)
    if spec.emulationVersion:
        _version(errs, "spec.emulationVersion", spec.emulationVersion)
    if not spec.strategy:
        errs.append(fields.required("spec.strategy"))
    elif spec.strategy == STRATEGY and not spec.emulationVersion:
        errs.append(fields.required("spec.emulationVersion", f"must be specified when `strategy` is '{STRATEGY}'"))
    return errs


def validate_change(candidate: Any, old: Any) -> Errors:
    errs: Errors = []
    checks.immutable(errs, "spec.leaseName", candidate.spec.leaseName, old.spec.leaseName)
    return errs


ROW = Resource(
    group="coordination.k8s.io",
    version="v1beta1",
    kind="LeaseCandidate",
    plural="leasecandidates",
    cls=coordination_v1beta1.LeaseCandidate,
    strategy=FunctionStrategy(
        None, validate, validate_change, counts_generation=False, create_on_update=True, unconditional_update=False
    ),
    columns=(
        NAME,
        Column("LeaseName", lambda each, now: each.spec.leaseName, description="The Lease it would hold."),
        Column("BinaryVersion", lambda each, now: each.spec.binaryVersion, description="What it is."),
        Column("EmulationVersion", lambda each, now: each.spec.emulationVersion or "", description="What it acts as."),
        Column("PreferredStrategy", lambda each, now: each.spec.strategy, description="How to choose."),
        AGE,
    ),
    fields={"spec.leaseName": lambda each: each.spec.leaseName},
    optional=True,
)
ROWS = (ROW, older(ROW, "v1alpha2", coordination_v1alpha2.LeaseCandidate))
