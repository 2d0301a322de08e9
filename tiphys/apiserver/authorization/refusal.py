"""The sentence about who may not do what."""

from tiphys.apiserver.seams import Attributes
from tiphys.machinery import errors
from tiphys.machinery.goformat import quote


def forbidden(attributes: Attributes, reason: str) -> errors.Forbidden:
    """What is refused, to whom, where, and why. Source: apiserver's response writers, by behaviour."""
    user = quote(attributes.user.name)
    tail = f": {reason}" if reason else ""
    if not attributes.is_resource_request:
        return errors.Forbidden("", "", f"User {user} cannot {attributes.verb} path {quote(attributes.path)}{tail}")
    resource = attributes.resource
    if attributes.subresource:
        resource = f"{resource}/{attributes.subresource}"
    where = f" in the namespace {quote(attributes.namespace)}" if attributes.namespace else " at the cluster scope"
    why = (
        f"User {user} cannot {attributes.verb} resource {quote(resource)} in API group "
        f"{quote(attributes.group)}{where}{tail}"
    )
    return errors.Forbidden(attributes.resource, attributes.name, why, attributes.group)
