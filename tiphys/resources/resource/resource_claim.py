"""ResourceClaim: devices that Pods ask for, and what was found for them."""

import re
from datetime import datetime

from tiphys.api import resource_v1, resource_v1beta2
from tiphys.machinery import fields
from tiphys.resources import checks, subresources
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.core.pod.scheduling import validate_node_selector
from tiphys.resources.resource import claims, shared
from tiphys.resources.rules import Column, Resource
from tiphys.resources.strategies import FunctionStrategy, StatusStrategy
from tiphys.resources.versions import older

RESERVED_MAX = 256
RESULTS_MAX = 32
CONFIG_MAX = 64
DEVICE_CONDITIONS_MAX = 8
DATA_BYTES_MAX = 10 * 1024
INTERFACE_MAX = 256
HARDWARE_MAX = 128
IPS_MAX = 16
SOURCES = ("FromClaim", "FromClass")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
NORMAL_UUID = (
    "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal "
    "characters"
)


def default(claim: resource_v1.ResourceClaim) -> None:
    claims.default(claim.spec.devices)


def validate(claim: resource_v1.ResourceClaim) -> Errors:
    errs: Errors = []
    claims.validate(errs, "spec.devices", claim.spec.devices)
    return errs


class ClaimStrategy(FunctionStrategy):
    """The spec stays as it is, so an update is judged by that alone."""

    def validate_update(self, obj: resource_v1.ResourceClaim, old: resource_v1.ResourceClaim) -> Errors:
        errs: Errors = []
        checks.immutable(errs, "spec", obj.spec, old.spec)
        return errs


class ClaimStatusStrategy(StatusStrategy[resource_v1.ResourceClaim]):
    """``/status``: written by the scheduler, the claim controller and drivers."""

    def default(self, obj: resource_v1.ResourceClaim) -> None:
        default(obj)

    def validate_update(self, obj: resource_v1.ResourceClaim, old: resource_v1.ResourceClaim) -> Errors:
        errs: Errors = []
        status, before = obj.status, old.status
        here = "status.reservedFor"
        shared.each(errs, here, status.reservedFor, RESERVED_MAX, _consumer, lambda consumer: consumer.uid)
        _device_states(errs, status)
        if status.reservedFor and status.allocation is None:
            errs.append(fields.forbidden(here, "may not be specified when `allocated` is not set"))
        elif obj.metadata.deletionTimestamp and any(
            consumer not in (before.reservedFor or ()) for consumer in status.reservedFor or ()
        ):
            detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
            errs.append(fields.forbidden(here, detail))
        if status.allocation is not None:
            if before.allocation is not None:
                checks.immutable(errs, "status.allocation", status.allocation, before.allocation)
            else:
                _allocation(errs, "status.allocation", status.allocation, claims.names_of(obj.spec.devices))
        return errs


def _consumer(errs: Errors, path: str, consumer: resource_v1.ResourceClaimConsumerReference) -> None:
    for name in ("resource", "name", "uid"):
        if not getattr(consumer, name):
            errs.append(fields.required(f"{path}.{name}"))


def _identity(
    device: resource_v1.AllocatedDeviceStatus | resource_v1.DeviceRequestAllocationResult,
) -> tuple[str, str, str, str]:
    return device.driver, device.pool, device.device, device.shareID or ""


def _device_states(errs: Errors, status: resource_v1.ResourceClaimStatus) -> None:
    devices = status.allocation.devices if status.allocation else None
    allocated = {_identity(result) for result in (devices.results if devices else None) or ()}

    def judge(errs: Errors, path: str, device: resource_v1.AllocatedDeviceStatus) -> None:
        shared.driver(errs, f"{path}.driver", device.driver)
        shared.pool(errs, f"{path}.pool", device.pool)
        shared.label(errs, f"{path}.device", device.device)
        if _identity(device) not in allocated:
            errs.append(fields.invalid(path, device, "must be an allocated device in the claim"))
        if len(device.conditions or ()) > DEVICE_CONDITIONS_MAX:
            errs.append(fields.too_many(f"{path}.conditions", len(device.conditions or ()), DEVICE_CONDITIONS_MAX))
        if device.data is not None:
            shared.raw_object(errs, f"{path}.data", device.data, DATA_BYTES_MAX)
        if device.networkData is not None:
            _network(errs, f"{path}.networkData", device.networkData)

    shared.each(errs, "status.devices", status.devices, -1, judge, _identity)


def _network(errs: Errors, path: str, data: resource_v1.NetworkDeviceData) -> None:
    for name, maximum in (("interfaceName", INTERFACE_MAX), ("hardwareAddress", HARDWARE_MAX)):
        if len(getattr(data, name) or "") > maximum:
            errs.append(fields.too_long(f"{path}.{name}", "", maximum))

    def address(errs: Errors, here: str, value: str) -> None:
        checks.form(errs, here, value, checks.cidr)

    shared.each(errs, f"{path}.ips", data.ips, IPS_MAX, address, lambda value: value)


def _allocation(errs: Errors, path: str, allocation: resource_v1.AllocationResult, known: claims.Names) -> None:
    def result(errs: Errors, here: str, given: resource_v1.DeviceRequestAllocationResult) -> None:
        claims.reference(errs, f"{here}.request", given.request, known)
        shared.driver(errs, f"{here}.driver", given.driver)
        shared.pool(errs, f"{here}.pool", given.pool)
        shared.label(errs, f"{here}.device", given.device)
        shared.conditions(errs, here, given.bindingConditions, given.bindingFailureConditions)
        if given.shareID is not None and not UUID.match(given.shareID):
            errs.append(fields.invalid(f"{here}.shareID", given.shareID, NORMAL_UUID))

    def configuration(errs: Errors, here: str, given: resource_v1.DeviceAllocationConfiguration) -> None:
        checks.required_one_of(errs, f"{here}.source", given.source, SOURCES)
        claims.references(errs, f"{here}.requests", given.requests, known)
        shared.configuration(errs, here, given.opaque)

    devices = allocation.devices
    if devices is not None:
        shared.each(errs, f"{path}.devices.results", devices.results, RESULTS_MAX, result)
        shared.each(errs, f"{path}.devices.config", devices.config, CONFIG_MAX, configuration)
    if allocation.nodeSelector is not None:
        validate_node_selector(errs, f"{path}.nodeSelector", allocation.nodeSelector)


def _state(claim: resource_v1.ResourceClaim, now: datetime) -> str:
    states = []
    if claim.metadata.deletionTimestamp:
        states.append("deleted")
    if claim.status.allocation is None:
        if not claim.metadata.deletionTimestamp:
            states.append("pending")
    else:
        states.append("allocated")
        if claim.status.reservedFor:
            states.append("reserved")
    return ",".join(states)


ROW = Resource(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceClaim",
    plural="resourceclaims",
    cls=resource_v1.ResourceClaim,
    strategy=ClaimStrategy(default, validate, counts_generation=False),
    subresources=(subresources.status(ClaimStatusStrategy()),),
    columns=(NAME, Column("State", _state, description="Pending, allocated, reserved."), AGE),
)
ROWS = (ROW, older(ROW, "v1beta2", resource_v1beta2.ResourceClaim))
