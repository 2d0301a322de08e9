"""Wires the legacy token cleaner: it looks once a day."""

from tiphys.api import core_v1
from tiphys.controllers.base import Context, Controller
from tiphys.controllers.legacytokencleaner.desired import (
    INVALID_SINCE,
    Action,
    desired,
    secrets_of,
    tracked_since,
)
from tiphys.controllers.serviceaccounttoken.desired import SECRET_TYPE, account_of
from tiphys.machinery import errors

NAMESPACE = "kube-system"
TRACKING = "kube-apiserver-legacy-service-account-token-tracking"
PERIOD_SECONDS = 24 * 3600.0


class LegacyTokenCleanerController(Controller):
    name = "legacy-serviceaccount-token-cleaner"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.secrets = self.informers.of(core_v1.Secret)
        self.accounts = self.informers.of(core_v1.ServiceAccount)
        self.pods = self.informers.of(core_v1.Pod)
        self._secret_calls = self.client.of(core_v1.Secret)
        self._map_calls = self.client.of(core_v1.ConfigMap)

    async def background(self) -> None:
        while True:
            await self.clock.sleep(PERIOD_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Go through all token Secrets once."""
        try:
            since = tracked_since(await self._map_calls.get(TRACKING, NAMESPACE))
        except errors.StatusError:
            return
        mounted: dict[str, set[str]] = {}
        for pod in self.pods.list():
            mounted.setdefault(pod.metadata.namespace, set()).update(secrets_of(pod))
        for secret in self.secrets.list():
            if secret.type != SECRET_TYPE:
                continue
            namespace = secret.metadata.namespace
            account = self.accounts.get(f"{namespace}/{account_of(secret)}")
            action = desired(secret, account, mounted.get(namespace, ()), since, self.clock.now())
            try:
                await self._do(action, secret)
            except errors.StatusError:
                # Somebody else is at it; it is looked at again tomorrow.
                continue

    async def _do(self, action: Action | None, secret: core_v1.Secret) -> None:
        metadata = secret.metadata
        if action is Action.MARK:
            today = self.clock.now().strftime("%Y-%m-%d")
            body = {"metadata": {"uid": metadata.uid, "labels": {INVALID_SINCE: today}}}
            await self._secret_calls.patch(metadata.name, metadata.namespace, body, "merge")
        elif action is Action.DELETE:
            await self._secret_calls.delete(
                metadata.name, metadata.namespace, uid=metadata.uid, resource_version=metadata.resourceVersion
            )
