"""Wires the bootstrap signer."""

import msgspec

from tiphys.api import core_v1
from tiphys.client import Done, Result
from tiphys.controllers.base import Context, Controller, either
from tiphys.controllers.bootstrapsigner.desired import NAME, NAMESPACE, desired
from tiphys.controllers.bootstraptokens import NAMESPACE as TOKENS
from tiphys.controllers.bootstraptokens import SECRET_TYPE
from tiphys.machinery import errors

KEY = f"{NAMESPACE}/{NAME}"


class BootstrapSignerController(Controller):
    name = "bootstrap-signer"
    concurrency = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.maps = self.informers.of(core_v1.ConfigMap, namespace=NAMESPACE, fields=f"metadata.name={NAME}")
        self.secrets = self.informers.of(core_v1.Secret)
        self._calls = self.client.of(core_v1.ConfigMap)
        self.maps.add_handler(self.enqueue, either(self.enqueue))
        self.secrets.add_handler(self._seen, either(self._seen), self._seen)

    def _seen(self, secret: core_v1.Secret) -> None:
        if secret.metadata.namespace == TOKENS and secret.type == SECRET_TYPE:
            self.queue.add(KEY)

    async def reconcile(self, key: str) -> Result:
        found = self.maps.get(KEY)
        if found is None:
            return Done()
        tokens = (one for one in self.secrets.list() if one.metadata.namespace == TOKENS)
        data = desired(found.data or {}, tokens, self.clock.now())
        if data is None:
            return Done()
        try:
            await self._calls.update(msgspec.structs.replace(found, data=data))
        except errors.NotFound:
            return Done()
        return Done()
