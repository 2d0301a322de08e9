"""CSIStorageCapacity: how much a driver can still give, for one class and one part of the topology."""

from tiphys.api import storage_v1
from tiphys.machinery import fields, quantity
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy


def validate(capacity: storage_v1.CSIStorageCapacity) -> Errors:
    errs: Errors = []
    checks.form(errs, "storageClassName", capacity.storageClassName, checks.dns1123_subdomain)
    for name in ("capacity", "maximumVolumeSize"):
        amount = getattr(capacity, name)
        if amount is not None and quantity.parse(amount) < 0:
            errs.append(fields.invalid(name, amount, checks.NOT_NEGATIVE))
    checks.label_selector(errs, "nodeTopology", capacity.nodeTopology)
    return errs


class CapacityStrategy(FunctionStrategy):
    """Only the amounts may change, and an update is judged by that alone."""

    def validate_update(self, obj: storage_v1.CSIStorageCapacity, old: storage_v1.CSIStorageCapacity) -> Errors:
        errs: Errors = []
        for name in ("nodeTopology", "storageClassName"):
            checks.immutable(errs, name, getattr(obj, name), getattr(old, name))
        return errs


ROW = Resource(
    group="storage.k8s.io",
    version="v1",
    kind="CSIStorageCapacity",
    plural="csistoragecapacities",
    cls=storage_v1.CSIStorageCapacity,
    strategy=CapacityStrategy(None, validate, counts_generation=False, unconditional_update=False),
    columns=(
        NAME,
        Column("StorageClassName", lambda each, now: each.storageClassName, description="For volumes of this class."),
        Column("Capacity", lambda each, now: each.capacity or "<unset>", description="What is left."),
    ),
)
