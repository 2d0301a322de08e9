"""Wires the root CA publisher."""

import msgspec

from tiphys.api import core_v1, meta_v1
from tiphys.client import Done, Result
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.terminating import is_namespace_terminating
from tiphys.machinery import errors

NAME = "kube-root-ca.crt"
DESCRIPTION = {
    "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using "
    "internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed "
    "across distributions of Kubernetes clusters."
}


class RootCAController(Controller):
    name = "root-ca-certificate-publisher"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.namespaces = self.informers.of(core_v1.Namespace)
        self.maps = self.informers.of(core_v1.ConfigMap, fields=f"metadata.name={NAME}")
        self._client = self.client.of(core_v1.ConfigMap)
        self.namespaces.add_handler(self.enqueue, lambda _, new: self.enqueue(new))
        self.maps.add_handler(updated=lambda _, new: self._changed(new), deleted=self._changed)

    def _changed(self, found: core_v1.ConfigMap) -> None:
        self.queue.add(found.metadata.namespace)

    async def reconcile(self, key: str) -> Result:
        namespace = self.namespaces.get(key)
        if namespace is None or namespace.status.phase == "Terminating":
            return Done()
        data = {"ca.crt": self.config.root_ca}
        current = self.maps.get(f"{key}/{NAME}")
        try:
            if current is None:
                metadata = meta_v1.ObjectMeta(name=NAME, namespace=key, annotations=DESCRIPTION)
                await self._client.create(core_v1.ConfigMap(metadata=metadata, data=data))
            elif current.data != data or not DESCRIPTION.items() <= current.metadata.annotations.items():
                noted = {**current.metadata.annotations, **DESCRIPTION}
                metadata = msgspec.structs.replace(current.metadata, annotations=noted)
                await self._client.update(msgspec.structs.replace(current, metadata=metadata, data=data))
        except (errors.AlreadyExists, errors.NotFound):
            return Done()
        except errors.Forbidden as error:
            if is_namespace_terminating(error):
                return Done()
            raise
        return Done()
