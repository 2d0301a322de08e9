"""Builds what a configuration file says, and follows the file.

With automatic reload the file is read once a minute. A new one is taken as a
whole or, if anything about it is wrong, not at all: the old one stays in force.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

from tiphys.apiserver.encryption.chain import Chain, Chains
from tiphys.apiserver.encryption.config import Kms, load, masked, secret_of
from tiphys.apiserver.encryption.config import Provider as ProviderConfig
from tiphys.apiserver.encryption.providers import CIPHERS, Identity, Keyed, Provider
from tiphys.apiserver.encryption.store import EncryptedStore
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.store.interface import Store, StoreError

log = logging.getLogger(__name__)
RELOAD_SECONDS = 60.0
Check = Callable[[], Awaitable[str]]


class _Built:
    """One configuration at work: its chains, and the KMS providers that follow their plugins."""

    def __init__(self, path: str, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids
        self.kms: list[Any] = []
        self._parts = AsyncExitStack()
        self._made: dict[int, list[Provider]] = {}
        rules = masked(load(path).resources)
        self.chains = Chains({name: Chain(self._providers(configs)) for name, configs in rules.items()})

    def _providers(self, configs: Sequence[ProviderConfig]) -> list[Provider]:
        found: list[Provider] = []
        for config in configs:
            # The providers of a rule are the same for all its resources.
            if id(config) not in self._made:
                self._made[id(config)] = self._provider(config)
            found += self._made[id(config)]
        return found

    def _provider(self, config: ProviderConfig) -> list[Provider]:
        (kind,) = config.kinds()
        if kind == "identity":
            return [Identity()]
        if isinstance(config.kms, Kms):
            # gRPC is loaded by those who have a plugin.
            from tiphys.apiserver.encryption.kms import KmsProvider  # noqa: PLC0415

            provider = KmsProvider(config.kms, self._clock, self._ids.uid)
            self.kms.append(provider)
            return [provider]
        return [Keyed(kind, key.name, CIPHERS[kind](secret_of(key))) for key in getattr(config, kind).keys]

    async def start(self) -> None:
        for provider in self.kms:
            await self._parts.enter_async_context(provider)

    async def close(self) -> None:
        await self._parts.aclose()


def digest_of(path: str) -> bytes:
    """Of the file's content; of nothing if it cannot be read, which loading it will tell."""
    try:
        return sha256(Path(path).read_bytes()).digest()
    except OSError:
        return b"unreadable"


class Encryption:
    """``async with``; ``store`` is the wrapped store meanwhile. Raises ConfigError on entry."""

    def __init__(
        self,
        path: str,
        store: Store,
        clock: Clock,
        ids: Ids,
        *,
        reload: bool = False,
        stored_path: Callable[[str], bytes] = str.encode,
    ) -> None:
        self._path = path
        self._clock = clock
        self._ids = ids
        self._reload = reload
        self._digest = b""
        self._built: _Built | None = None
        self._task: asyncio.Task[None] | None = None
        self.store = EncryptedStore(store, Chains({}), clock, stored_path)

    async def __aenter__(self) -> "Encryption":
        await self.load()
        if self._reload:
            self._task = asyncio.create_task(self._run(), name="encryption-reload")
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._built is not None:
            await self._built.close()

    async def load(self) -> bool:
        """Take the file if it is another one; raises ConfigError, and then nothing has changed."""
        digest = digest_of(self._path)
        if digest == self._digest:
            return False
        self._digest = digest
        built = _Built(self._path, self._clock, self._ids)
        await built.start()
        before, self._built = self._built, built
        self.store.use(built.chains)
        if before is not None:
            await before.close()
        return True

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(RELOAD_SECONDS)
            try:
                if await self.load():
                    log.info("encryption configuration loaded again from %s", self._path)
            except StoreError as problem:
                log.error("encryption configuration stays as it was: %s", problem)

    def checks(self) -> Mapping[str, Check]:
        """Health checks by name: one for each plugin, or a single one if the configuration may change."""
        if self._built is None or not (self._built.kms or self._reload):
            return {}
        if self._reload:
            return {"kms-providers": self._problems}
        return {f"kms-provider-{index}": _check(provider) for index, provider in enumerate(self._built.kms)}

    async def _problems(self) -> str:
        return "; ".join(p.problem for p in (self._built.kms if self._built else ()) if p.problem)


def _check(provider: Any) -> Check:
    async def check() -> str:
        return str(provider.problem)

    return check
