"""All rows, and how to find one. Discovery lists them in this order.

Lookups know every row, ``RESOURCES`` those that are served by default.
"""

from collections.abc import Mapping
from types import ModuleType

from tiphys.api.scalars import Object
from tiphys.resources.admissionregistration import (
    mutating_admission_policy,
    validating_admission_policy,
    webhook_configurations,
)
from tiphys.resources.apiextensions import custom_resource_definition
from tiphys.resources.apiregistration import api_service
from tiphys.resources.apps import controller_revision, daemon_set, deployment, replica_set, stateful_set
from tiphys.resources.authentication import reviews as authentication_reviews
from tiphys.resources.authorization import reviews as authorization_reviews
from tiphys.resources.autoscaling import horizontal_pod_autoscaler
from tiphys.resources.batch import cron_job, job
from tiphys.resources.certificates import certificate_signing_request, cluster_trust_bundle
from tiphys.resources.coordination import lease, lease_candidate
from tiphys.resources.core import (
    binding,
    component_status,
    config_map,
    endpoints,
    event,
    limit_range,
    namespace,
    node,
    persistent_volume,
    persistent_volume_claim,
    pod,
    pod_template,
    replication_controller,
    resource_quota,
    secret,
    service,
    service_account,
)
from tiphys.resources.discovery import endpoint_slice
from tiphys.resources.events import event as events_event
from tiphys.resources.flowcontrol import flow_schema, priority_level_configuration
from tiphys.resources.networking import ingress, ingress_class, ip_address, network_policy, service_cidr
from tiphys.resources.node import runtime_class
from tiphys.resources.policy import pod_disruption_budget
from tiphys.resources.rbac import cluster_role, cluster_role_binding, role, role_binding
from tiphys.resources.resource import device_class, resource_claim, resource_claim_template, resource_slice
from tiphys.resources.rules import Resource
from tiphys.resources.scheduling import pod_group, priority_class, workload
from tiphys.resources.storage import (
    csi_driver,
    csi_node,
    csi_storage_capacity,
    storage_class,
    volume_attachment,
    volume_attributes_class,
)


def _rows(*modules: ModuleType) -> tuple[Resource, ...]:
    rows: list[Resource] = []
    for module in modules:
        rows.extend(module.ROWS if hasattr(module, "ROWS") else (module.ROW,))
    return tuple(rows)


ALL: tuple[Resource, ...] = _rows(
    binding,
    component_status,
    config_map,
    endpoints,
    event,
    limit_range,
    namespace,
    node,
    persistent_volume_claim,
    persistent_volume,
    pod,
    pod_template,
    replication_controller,
    resource_quota,
    secret,
    service_account,
    service,
    controller_revision,
    daemon_set,
    deployment,
    replica_set,
    stateful_set,
    events_event,
    authentication_reviews,
    authorization_reviews,
    horizontal_pod_autoscaler,
    cron_job,
    job,
    certificate_signing_request,
    cluster_trust_bundle,
    ingress_class,
    ingress,
    ip_address,
    network_policy,
    service_cidr,
    pod_disruption_budget,
    cluster_role_binding,
    cluster_role,
    role_binding,
    role,
    csi_driver,
    csi_node,
    csi_storage_capacity,
    storage_class,
    volume_attachment,
    volume_attributes_class,
    priority_class,
    pod_group,
    workload,
    lease,
    lease_candidate,
    runtime_class,
    endpoint_slice,
    flow_schema,
    priority_level_configuration,
    device_class,
    resource_claim,
    resource_claim_template,
    resource_slice,
    custom_resource_definition,
    webhook_configurations,
    validating_admission_policy,
    mutating_admission_policy,
    api_service,
)

#: What is served unless something else is asked for.
RESOURCES: tuple[Resource, ...] = tuple(row for row in ALL if not row.optional)

_BY_PATH = {(row.group, row.version, row.plural): row for row in ALL}
_BY_KIND = {(row.group, row.version, row.kind): row for row in ALL}
_BY_CLASS = {row.cls: row for row in ALL}


def served(runtime_config: Mapping[str, bool], feature_gates: Mapping[str, bool]) -> tuple[Resource, ...]:
    """The rows that a server serves with these flags.

    ``runtime_config`` has ``group/version``, ``group/version/plural`` and
    ``api/all|ga|beta|alpha``; the more exact one wins.
    Source: Kubernetes docs, "Enabling or Disabling API Groups".
    """
    if not runtime_config:
        return RESOURCES
    return tuple(row for row in ALL if _is_served(row, runtime_config, feature_gates))


def _is_served(row: Resource, runtime_config: Mapping[str, bool], feature_gates: Mapping[str, bool]) -> bool:
    if row.feature_gate and not feature_gates.get(row.feature_gate, feature_gates.get("AllAlpha", False)):
        return False
    version = f"{row.group}/{row.version}" if row.group else row.version
    level = "beta" if "beta" in row.version else "alpha" if "alpha" in row.version else "ga"
    for name in (f"{version}/{row.plural}", version, f"api/{level}", "api/all"):
        if name in runtime_config:
            return runtime_config[name]
    return not row.optional


def by_path(group: str, version: str, plural: str) -> Resource:
    """The row served below ``/apis/<group>/<version>/<plural>``; raises LookupError."""
    return _BY_PATH[group, version, plural]


def by_kind(group: str, version: str, kind: str) -> Resource:
    """The row whose objects are of this kind; raises LookupError."""
    return _BY_KIND[group, version, kind]


def by_class(cls: type[Object]) -> Resource:
    """The row whose objects are instances of ``cls``; raises LookupError."""
    return _BY_CLASS[cls]


def stored_as(row: Resource) -> Resource:
    """The row whose class is what the store holds for ``row``; mostly itself."""
    if row.to_storage is None:
        return row
    return next(other for other in ALL if other.to_storage is None and _same_storage(row, other))


def _same_storage(row: Resource, other: Resource) -> bool:
    return row.storage_resource == other.storage_resource


def find(name: str) -> Resource:
    """The row that a user names: plural, singular, kind or short name, with ``.group`` or ``.version.group`` if
    it is ambiguous; the first row of the table wins. Raises LookupError."""
    resource, _, group = name.lower().partition(".")
    matches = [row for row in ALL if resource in _names(row)]
    for row in matches:
        if not group or group in (row.group, f"{row.version}.{row.group}".rstrip(".")):
            return row
    for row in matches:
        if row.group.startswith(group):
            return row
    raise LookupError(name)


def _names(row: Resource) -> tuple[str, ...]:
    return (row.plural, row.singular, *row.short_names)
