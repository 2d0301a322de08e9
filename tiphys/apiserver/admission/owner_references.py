"""OwnerReferencesPermissionEnforcement: who makes an object die with another must be allowed to delete it.

Source: Kubernetes docs, "Admission Control", OwnerReferencesPermissionEnforcement.
"""

from collections.abc import Awaitable
from typing import Any, ClassVar, Self

from tiphys.api import meta_v1
from tiphys.apiserver.admission.plugin import ALL, Plugin, Tools, forbidden
from tiphys.apiserver.seams import Attributes, Authorizer, Decision, Objects
from tiphys.machinery.goformat import quote
from tiphys.resources import table


class OwnerReferencesPermissionEnforcement(Plugin):
    name: ClassVar = "OwnerReferencesPermissionEnforcement"
    resources: ClassVar = (ALL,)

    @classmethod
    def made(cls, tools: Tools) -> Self:
        return cls(tools.objects, tools.authorizer)

    def __init__(self, objects: Objects, authorizer: Authorizer) -> None:
        self._objects = objects
        self._authorizer = authorizer

    def handles(self, attributes: Attributes) -> bool:
        # What a kubelet writes about its Pods changes no owner.
        status = (attributes.group, attributes.resource, attributes.subresource) == ("", "pods", "status")
        return super().handles(attributes) and not status

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> Awaitable[None] | None:
        new, before = _references(obj), _references(old)
        if new == before:
            return None
        return self._check(attributes, obj, new, before, create=old is None)

    async def _check(
        self,
        attributes: Attributes,
        obj: Any,
        new: list[meta_v1.OwnerReference],
        before: list[meta_v1.OwnerReference],
        *,
        create: bool,
    ) -> None:
        # Who creates an object decides what it is; only for one that is there the right to delete it is asked for.
        if not create:
            decision = await self._authorizer.authorize(attributes.user, _deletion(attributes))
            if not decision.allowed:
                raise forbidden(
                    attributes, obj, _sentence("cannot set an ownerRef on a resource you can't delete", decision)
                )
        for reference in _newly_blocking(new, before):
            await self._check_blocking(attributes, obj, reference)

    async def _check_blocking(self, attributes: Attributes, obj: Any, reference: meta_v1.OwnerReference) -> None:
        found = resource_of_kind(self._objects, reference.apiVersion, reference.kind)
        if found is None:
            why = (
                "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion "
                f"{reference.apiVersion} Kind {reference.kind}: no matches for kind {quote(reference.kind)} "
                f"in version {quote(reference.apiVersion)}"
            )
            raise forbidden(attributes, obj, why)
        plural, namespaced = found
        group, _, version = reference.apiVersion.rpartition("/")
        asked = Attributes(
            "update",
            "",
            attributes.user,
            is_resource_request=True,
            group=group,
            version=version,
            resource=plural,
            subresource="finalizers",
            namespace=attributes.namespace if namespaced else "",
            name=reference.name,
        )
        decision = await self._authorizer.authorize(attributes.user, asked)
        if not decision.allowed:
            text = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on"
            raise forbidden(attributes, obj, _sentence(text, decision))


def _sentence(text: str, decision: Decision) -> str:
    """With the authorizer's reason and its error, or Go's word for there being none."""
    return f"{text}: {decision.reason}, {getattr(decision, 'error', '') or '<nil>'}"


def _references(obj: Any) -> list[meta_v1.OwnerReference]:
    metadata = getattr(obj, "metadata", None)
    return list(metadata.ownerReferences) if metadata is not None else []


def _deletion(attributes: Attributes) -> Attributes:
    return Attributes(
        "delete",
        "",
        attributes.user,
        is_resource_request=True,
        group=attributes.group,
        version=attributes.version,
        resource=attributes.resource,
        subresource=attributes.subresource,
        namespace=attributes.namespace,
        name=attributes.name,
    )


def _newly_blocking(
    new: list[meta_v1.OwnerReference], before: list[meta_v1.OwnerReference]
) -> list[meta_v1.OwnerReference]:
    blocked = {reference.uid for reference in before if reference.blockOwnerDeletion}
    return [reference for reference in new if reference.blockOwnerDeletion and reference.uid not in blocked]


def resource_of_kind(objects: Objects, api_version: str, kind: str) -> tuple[str, bool] | None:
    """Plural of a kind, custom ones included, and whether it lives in Namespaces."""
    group, _, version = api_version.rpartition("/")
    try:
        row = table.by_kind(group, version, kind)
    except LookupError:
        for definition in objects.all("apiextensions.k8s.io", "customresourcedefinitions"):
            spec = definition.spec
            if (spec.group, spec.names.kind) == (group, kind) and version in (each.name for each in spec.versions):
                return spec.names.plural, spec.scope == "Namespaced"
        return None
    return row.plural, row.namespaced
