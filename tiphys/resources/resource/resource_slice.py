"""ResourceSlice: devices that a driver offers, on one node or on several."""

from tiphys.api import resource_v1, resource_v1beta2
from tiphys.machinery import fields
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.core.pod.scheduling import validate_node_selector
from tiphys.resources.resource import devices, shared
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy
from tiphys.resources.versions import older

DEVICES_MAX = 128
#: With taints, shared counters or lists of attributes, which make devices larger.
LARGE_DEVICES_MAX = 64
COUNTER_SETS_MAX = 8
PLACES = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
TRUE_OR_UNSET = "must be either unset or set to true"


def validate(offer: resource_v1.ResourceSlice) -> Errors:
    errs: Errors = []
    spec = offer.spec
    shared.driver(errs, "spec.driver", spec.driver)
    shared.pool(errs, "spec.pool.name", spec.pool.name)
    if spec.pool.resourceSliceCount <= 0:
        detail = "must be greater than zero"
        errs.append(fields.invalid("spec.pool.resourceSliceCount", spec.pool.resourceSliceCount, detail))
    if spec.pool.generation < 0:
        detail = "must be greater than or equal to zero"
        errs.append(fields.invalid("spec.pool.generation", spec.pool.generation, detail))
    _place(errs, spec)
    if spec.sharedCounters is not None and spec.devices is not None:
        errs.append(fields.invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed"))
    large = any(devices.is_large(device) for device in spec.devices or ())

    def device(errs: Errors, path: str, given: resource_v1.Device) -> None:
        devices.validate(errs, path, given, selects=bool(spec.perDeviceNodeSelection))

    maximum = LARGE_DEVICES_MAX if large else DEVICES_MAX
    shared.each(errs, "spec.devices", spec.devices, maximum, device, lambda given: given.name)
    counters, here = spec.sharedCounters, "spec.sharedCounters"
    shared.each(errs, here, counters, COUNTER_SETS_MAX, devices.counter_set, lambda given: given.name)
    return errs


def _place(errs: Errors, spec: resource_v1.ResourceSliceSpec) -> None:
    chosen = []
    if spec.nodeName is not None:
        if spec.nodeName:
            chosen.append("`nodeName`")
            checks.form(errs, "spec.nodeName", spec.nodeName, checks.dns1123_subdomain)
        else:
            errs.append(fields.invalid("spec.nodeName", "", "must be either unset or set to a non-empty string"))
    if spec.nodeSelector is not None:
        chosen.append("`nodeSelector`")
        validate_node_selector(errs, "spec.nodeSelector", spec.nodeSelector)
        terms = spec.nodeSelector.nodeSelectorTerms
        if len(terms) != 1:
            detail = "must have exactly one node selector term"
            errs.append(fields.invalid("spec.nodeSelector.nodeSelectorTerms", terms, detail))
    for name in ("allNodes", "perDeviceNodeSelection"):
        value = getattr(spec, name)
        if value:
            chosen.append(f"`{name}`")
        elif value is not None:
            errs.append(fields.invalid(f"spec.{name}", value, TRUE_OR_UNSET))
    if not chosen:
        errs.append(fields.required("spec", PLACES))
    elif len(chosen) > 1:
        detail = f"{PLACES}, but multiple fields are set"
        errs.append(fields.invalid("spec", f"{{{', '.join(chosen)}}}", detail))


def validate_change(offer: resource_v1.ResourceSlice, old: resource_v1.ResourceSlice) -> Errors:
    errs: Errors = []
    checks.immutable(errs, "spec.pool.name", offer.spec.pool.name, old.spec.pool.name)
    checks.immutable(errs, "spec.driver", offer.spec.driver, old.spec.driver)
    checks.immutable(errs, "spec.nodeName", offer.spec.nodeName, old.spec.nodeName)
    return errs


ROW = Resource(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceSlice",
    plural="resourceslices",
    cls=resource_v1.ResourceSlice,
    strategy=FunctionStrategy(None, validate, validate_change),
    namespaced=False,
    columns=(
        NAME,
        Column("Node", lambda each, now: each.spec.nodeName or "", description="Where its devices are."),
        Column("Driver", lambda each, now: each.spec.driver, description="Who offers them."),
        Column("Pool", lambda each, now: each.spec.pool.name, description="The pool they belong to."),
        AGE,
    ),
    fields={
        "spec.driver": lambda each: each.spec.driver,
        "spec.nodeName": lambda each: each.spec.nodeName or "",
    },
)
ROWS = (ROW, older(ROW, "v1beta2", resource_v1beta2.ResourceSlice))
