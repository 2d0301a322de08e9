"""What the system does with the metadata that all objects share, before strategies see them.

Source: apiserver's rest.BeforeCreate, BeforeUpdate and FillObjectMetaSystemFields, by behaviour.
"""

from typing import Any

from tiphys.apiserver.registry.endpoint import Call, Endpoint
from tiphys.machinery import errors, times


def check_namespace(call: Call, metadata: Any) -> None:
    """The object's namespace is the request's, or empty and becomes it; raises BadRequest."""
    namespace = call.attributes.namespace if call.endpoint.row.namespaced else ""
    if metadata.namespace == namespace:
        return
    if metadata.namespace and namespace:
        raise errors.BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    metadata.namespace = namespace


def check_name(call: Call, metadata: Any) -> None:
    """The name in the body is the one in the URL; raises BadRequest."""
    name = call.attributes.name
    if not metadata.name:
        raise errors.BadRequest(
            f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )
    if metadata.name != name:
        raise errors.BadRequest(f"the name of the object ({metadata.name}) does not match the name on the URL ({name})")
    namespace = call.attributes.namespace if call.endpoint.row.namespaced else ""
    if namespace and metadata.namespace and metadata.namespace != namespace:
        raise errors.BadRequest(
            f"the namespace of the object ({metadata.namespace}) does not match the namespace on the request"
            f" ({namespace})"
        )


def fill_for_create(endpoint: Endpoint, metadata: Any) -> None:
    """What only the system sets."""
    services = endpoint.services
    metadata.creationTimestamp = times.format_time(services.clock.now())
    metadata.uid = services.ids.uid()
    metadata.deletionTimestamp = None
    metadata.deletionGracePeriodSeconds = None
    metadata.selfLink = None


def keep_on_update(new: Any, old: Any) -> None:
    """Fields that an update may leave out and cannot change or clear."""
    if not new.uid:
        new.uid = old.uid
    if not new.creationTimestamp:
        new.creationTimestamp = old.creationTimestamp
    if old.deletionTimestamp:
        new.deletionTimestamp = old.deletionTimestamp
    if new.deletionGracePeriodSeconds is None:
        new.deletionGracePeriodSeconds = old.deletionGracePeriodSeconds
    new.generation = old.generation
    new.selfLink = None
