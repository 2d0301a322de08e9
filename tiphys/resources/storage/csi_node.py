"""CSINode."""

from tiphys.api import storage_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy

DRIVER_MAX = 63


def validate(node: storage_v1.CSINode) -> Errors:
    errs: Errors = []
    for index, driver in enumerate(node.spec.drivers):
        here = f"spec.drivers[{index}]"
        checks.required_form(errs, f"{here}.name", driver.name.lower(), checks.dns1123_subdomain)
        if len(driver.name) > DRIVER_MAX:
            errs.append(fields.too_long(f"{here}.name", driver.name, DRIVER_MAX))
        if not driver.nodeID:
            errs.append(fields.required(f"{here}.nodeID"))
        for number, key in enumerate(driver.topologyKeys or ()):
            checks.form(errs, f"{here}.topologyKeys[{number}]", key, checks.qualified_name)
    checks.duplicates(errs, lambda index: f"spec.drivers[{index}].name", [each.name for each in node.spec.drivers])
    return errs


ROW = Resource(
    group="storage.k8s.io",
    version="v1",
    kind="CSINode",
    plural="csinodes",
    cls=storage_v1.CSINode,
    strategy=FunctionStrategy(None, validate, counts_generation=False, unconditional_update=False),
    namespaced=False,
    columns=(
        NAME,
        Column("Drivers", lambda node, now: len(node.spec.drivers), type="integer", description="How many drivers."),
        AGE,
    ),
)
