"""Wires the token cleaner."""

from tiphys.api import core_v1
from tiphys.client import Done, RequeueAfter, Result
from tiphys.controllers.base import Context, Controller, either
from tiphys.controllers.bootstraptokens import NAMESPACE, SECRET_TYPE, seconds_left
from tiphys.machinery import errors


class TokenCleanerController(Controller):
    name = "token-cleaner"
    concurrency = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.secrets = self.informers.of(core_v1.Secret)
        self._calls = self.client.of(core_v1.Secret)
        self.secrets.add_handler(self._seen, either(self._seen))

    def _seen(self, secret: core_v1.Secret) -> None:
        if secret.metadata.namespace == NAMESPACE and secret.type == SECRET_TYPE:
            self.enqueue(secret)

    async def reconcile(self, key: str) -> Result:
        secret = self.secrets.get(key)
        left = seconds_left(secret, self.clock.now()) if secret is not None else None
        if secret is None or left is None:
            return Done()
        if left > 0:
            return RequeueAfter(left)
        try:
            await self._calls.delete(secret.metadata.name, secret.metadata.namespace, uid=secret.metadata.uid)
        except (errors.NotFound, errors.Conflict):
            # Gone, or another one by now, whose own event is under way.
            return Done()
        return Done()
