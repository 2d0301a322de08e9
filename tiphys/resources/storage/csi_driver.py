"""CSIDriver."""

from tiphys.api import storage_v1
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy

NAME_MAX = 63
MODES = ("Ephemeral", "Persistent")
GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
DEFAULTS = {
    "attachRequired": True,
    "podInfoOnMount": False,
    "storageCapacity": False,
    "fsGroupPolicy": "ReadWriteOnceWithFSType",
    "requiresRepublish": False,
    "seLinuxMount": False,
}


def default(driver: storage_v1.CSIDriver) -> None:
    for name, value in DEFAULTS.items():
        if getattr(driver.spec, name) is None:
            setattr(driver.spec, name, value)
    if not driver.spec.volumeLifecycleModes:
        driver.spec.volumeLifecycleModes = ["Persistent"]


def validate(driver: storage_v1.CSIDriver) -> Errors:
    errs: Errors = []
    name = driver.metadata.name
    if len(name) > NAME_MAX:
        errs.append(fields.too_long("metadata.name", name, NAME_MAX))
    checks.one_of(errs, "spec.fsGroupPolicy", driver.spec.fsGroupPolicy, GROUP_POLICIES)
    for index, mode in enumerate(driver.spec.volumeLifecycleModes or ()):
        checks.one_of(errs, f"spec.volumeLifecycleModes[{index}]", mode, MODES)
    audiences = [request.audience for request in driver.spec.tokenRequests or ()]
    checks.duplicates(errs, lambda index: f"spec.tokenRequests[{index}].audience", audiences)
    return errs


def validate_change(driver: storage_v1.CSIDriver, old: storage_v1.CSIDriver) -> Errors:
    errs: Errors = []
    for name in ("attachRequired", "volumeLifecycleModes"):
        checks.immutable(errs, f"spec.{name}", getattr(driver.spec, name), getattr(old.spec, name))
    return errs


def _tokens(driver: storage_v1.CSIDriver) -> str:
    audiences = [request.audience for request in driver.spec.tokenRequests or ()]
    return ",".join(audiences) or "<unset>"


ROW = Resource(
    group="storage.k8s.io",
    version="v1",
    kind="CSIDriver",
    plural="csidrivers",
    cls=storage_v1.CSIDriver,
    strategy=FunctionStrategy(default, validate, validate_change, unconditional_update=False),
    namespaced=False,
    columns=(
        NAME,
        Column(
            "AttachRequired", lambda each, now: bool(each.spec.attachRequired), type="boolean", description="Attaches."
        ),
        Column(
            "PodInfoOnMount", lambda each, now: bool(each.spec.podInfoOnMount), type="boolean", description="Gets Pods."
        ),
        Column(
            "StorageCapacity", lambda each, now: bool(each.spec.storageCapacity), type="boolean", description="Reports."
        ),
        Column("TokenRequests", lambda each, now: _tokens(each), description="Audiences of tokens."),
        Column(
            "RequiresRepublish",
            lambda each, now: bool(each.spec.requiresRepublish),
            type="boolean",
            description="Again.",
        ),
        Column("Modes", lambda each, now: ",".join(each.spec.volumeLifecycleModes or ()), description="Its modes."),
        AGE,
    ),
)
