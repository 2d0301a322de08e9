"""``seams.Admission``: all plugins in their order."""

from collections.abc import Sequence
from typing import Any

from tiphys.apiserver.admission.certificates import CertificateRequester, CertificateSigners
from tiphys.apiserver.admission.default_classes import DefaultIngressClass, DefaultStorageClass
from tiphys.apiserver.admission.default_toleration_seconds import DefaultTolerationSeconds
from tiphys.apiserver.admission.escalation import Escalation
from tiphys.apiserver.admission.limit_ranger import LimitRanger
from tiphys.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from tiphys.apiserver.admission.node_restriction import NodeRestriction
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.pod_topology_labels import PodTopologyLabels
from tiphys.apiserver.admission.priority import Priority
from tiphys.apiserver.admission.resource_quota import ResourceQuota
from tiphys.apiserver.admission.runtime_class import RuntimeClass
from tiphys.apiserver.admission.service_account import ServiceAccount
from tiphys.apiserver.admission.taint_nodes import TaintNodesByCondition
from tiphys.apiserver.rbac import Rbac
from tiphys.apiserver.seams import Attributes, Authorizer, Objects
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids


def plugins(objects: Objects, ids: Ids) -> list[Plugin]:
    """All plugins in the order in which they run."""
    return [
        NamespaceLifecycle(objects),
        LimitRanger(objects),
        ServiceAccount(objects, ids),
        NodeRestriction(objects),
        TaintNodesByCondition(),
        Priority(objects),
        DefaultTolerationSeconds(),
        DefaultStorageClass(objects),
        RuntimeClass(objects),
        CertificateRequester(),
        DefaultIngressClass(objects),
        PodTopologyLabels(objects),
    ]


class Chain:
    """Calls the plugins that handle a request; which ones do is found out once per kind of request."""

    def __init__(self, objects: Objects, ids: Ids, rbac: Rbac, authorizer: Authorizer, clock: Clock) -> None:
        self._plugins = plugins(objects, ids)
        self._escalation = Escalation(rbac, authorizer)
        self._signers = CertificateSigners(authorizer)
        self._quota = ResourceQuota(objects, clock)
        self._handling: dict[tuple[str, str, str, str], Sequence[Plugin]] = {}

    async def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        for plugin in self._handlers(attributes):
            plugin.admit(attributes, obj, old)

    async def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        for plugin in self._handlers(attributes):
            plugin.validate(attributes, obj, old)
        if self._escalation.handles(attributes):
            await self._escalation.check(attributes, obj, old)
        if self._signers.handles(attributes):
            await self._signers.check(attributes, obj, old)
        if self._quota.handles(attributes):
            await self._quota.charge(attributes, obj, old)

    def _handlers(self, attributes: Attributes) -> Sequence[Plugin]:
        key = (attributes.group, attributes.resource, attributes.subresource, attributes.operation)
        found = self._handling.get(key)
        if found is None:
            found = self._handling[key] = [plugin for plugin in self._plugins if plugin.handles(attributes)]
        return found
