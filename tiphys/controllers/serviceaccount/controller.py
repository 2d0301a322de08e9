"""Wires the ServiceAccount controller; what it decides fits in one sentence."""

from tiphys.api import core_v1, meta_v1
from tiphys.client import Done, Result
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.terminating import is_namespace_terminating
from tiphys.machinery import errors

DEFAULT = "default"


class ServiceAccountController(Controller):
    name = "serviceaccount"
    component = "serviceaccount-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.namespaces = self.informers.of(core_v1.Namespace)
        self.accounts = self.informers.of(core_v1.ServiceAccount)
        self._client = self.client.of(core_v1.ServiceAccount)
        self.namespaces.add_handler(self.enqueue, lambda _, new: self.enqueue(new))
        self.accounts.add_handler(deleted=lambda account: self.queue.add(account.metadata.namespace))

    async def reconcile(self, key: str) -> Result:
        namespace = self.namespaces.get(key)
        if namespace is None or namespace.status.phase == "Terminating" or self.accounts.get(f"{key}/{DEFAULT}"):
            return Done()
        try:
            await self._client.create(core_v1.ServiceAccount(metadata=meta_v1.ObjectMeta(name=DEFAULT, namespace=key)))
        except (errors.AlreadyExists, errors.NotFound):
            return Done()
        except errors.Forbidden as error:
            if is_namespace_terminating(error):
                return Done()
            raise
        return Done()
