"""Wires the token controller."""

from tiphys.api import core_v1
from tiphys.client import Done, Result
from tiphys.controllers.base import Context, Controller, either
from tiphys.controllers.serviceaccounttoken.desired import SECRET_TYPE, Delete, account_of, desired
from tiphys.controllers.serviceaccounttoken.signing import signer
from tiphys.machinery import errors


class ServiceAccountTokenController(Controller):
    name = "serviceaccount-token-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        key = self.config.service_account_key
        self._sign = signer(key) if key else None
        if self._sign is None:
            # Without the key there is nothing it could do.
            return
        self.secrets = self.informers.of(core_v1.Secret)
        self.accounts = self.informers.of(core_v1.ServiceAccount)
        self._secret_calls = self.client.of(core_v1.Secret)
        self._account_calls = self.client.of(core_v1.ServiceAccount)
        self.secrets.add_index("token-account", _account_keys)
        self.secrets.add_handler(self._secret_seen, either(self._secret_seen))
        self.accounts.add_handler(self._account_seen, deleted=self._account_seen)

    def _secret_seen(self, secret: core_v1.Secret) -> None:
        if secret.type == SECRET_TYPE:
            self.enqueue(secret)

    def _account_seen(self, account: core_v1.ServiceAccount) -> None:
        metadata = account.metadata
        for secret in self.secrets.by_index("token-account", f"{metadata.namespace}/{metadata.name}"):
            self.enqueue(secret)

    async def reconcile(self, key: str) -> Result:
        secret = self.secrets.get(key)
        if secret is None or secret.metadata.deletionTimestamp or self._sign is None:
            return Done()
        metadata = secret.metadata
        account = self.accounts.get(f"{metadata.namespace}/{account_of(secret)}") or await self._fresh(secret)
        action = desired(secret, account, self.config.root_ca, self._sign)
        try:
            if isinstance(action, Delete):
                await self._secret_calls.delete(metadata.name, metadata.namespace, uid=metadata.uid)
            elif action is not None:
                await self._secret_calls.update(action.secret)
        except errors.NotFound:
            return Done()
        return Done()

    async def _fresh(self, secret: core_v1.Secret) -> core_v1.ServiceAccount | None:
        """The account by the server's word: before a Secret is deleted a cache is not enough."""
        try:
            return await self._account_calls.get(account_of(secret), secret.metadata.namespace)
        except errors.NotFound:
            return None


def _account_keys(secret: core_v1.Secret) -> list[str]:
    name = account_of(secret)
    return [f"{secret.metadata.namespace}/{name}"] if name else []
