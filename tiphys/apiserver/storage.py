"""The store that the settings name, with what belongs to it: compaction, encryption, health."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tiphys.apiserver.config import StorageConfig
from tiphys.base.clock import Clock
from tiphys.base.ids import Ids
from tiphys.store.compaction import Compactor
from tiphys.store.interface import Store, StoreError
from tiphys.store.memory import MemoryStore
from tiphys.store.sqlite import SqliteStore

#: Says what is wrong; empty if nothing is.
Check = Callable[[], Awaitable[str]]


@dataclass(slots=True)
class Storage:
    """A store at work. ``checks`` are for all health endpoints, ``ready`` for ``/readyz`` alone."""

    store: Store
    checks: Mapping[str, Check] = field(default_factory=dict)
    ready: Mapping[str, Check] = field(default_factory=dict)
    #: A key as it is written to the medium.
    path: Callable[[str], bytes] = str.encode


@asynccontextmanager
async def opened(config: StorageConfig, clock: Clock, ids: Ids) -> AsyncIterator[Storage]:
    """The storage, open. Raises StoreError, saying what cannot be had."""
    async with AsyncExitStack() as parts:
        storage = await (_etcd if config.etcd_servers else _local)(config, clock, parts)
        if config.encryption_file:
            # Loads ciphers, which only those who encrypt need.
            from tiphys.apiserver.encryption.keeping import Encryption  # noqa: PLC0415

            encryption = Encryption(
                config.encryption_file,
                storage.store,
                clock,
                ids,
                reload=config.encryption_reload,
                stored_path=storage.path,
            )
            await parts.enter_async_context(encryption)
            storage.store = encryption.store
            storage.checks = {**storage.checks, **encryption.checks()}
        yield storage


async def _local(config: StorageConfig, clock: Clock, parts: AsyncExitStack) -> Storage:
    """Memory or a file."""
    store: Store
    store = MemoryStore(clock) if config.file == ":memory:" else await SqliteStore.open(Path(config.file), clock)
    parts.push_async_callback(store.close)
    await parts.enter_async_context(Compactor(store, clock))
    return Storage(store)


async def _etcd(config: StorageConfig, clock: Clock, parts: AsyncExitStack) -> Storage:
    # gRPC takes a tenth of a second and ten megabytes: only those who use etcd pay.
    from tiphys.store.etcd.compaction import EtcdCompactor  # noqa: PLC0415
    from tiphys.store.etcd.config import EtcdConfig  # noqa: PLC0415
    from tiphys.store.etcd.store import EtcdStore  # noqa: PLC0415

    reached = EtcdConfig(
        tuple(config.etcd_servers),
        config.etcd_ca_file,
        config.etcd_cert_file,
        config.etcd_key_file,
        config.etcd_prefix,
    )
    store = await EtcdStore.open(reached, clock)
    parts.push_async_callback(store.close)
    await parts.enter_async_context(EtcdCompactor(store.client, clock, config.etcd_compaction_seconds))

    def check(seconds: float) -> Check:
        async def run() -> str:
            try:
                await store.check(seconds)
            except StoreError as problem:
                return str(problem)
            return ""

        return run

    checks = {"etcd": check(config.etcd_healthcheck_seconds)}
    return Storage(store, checks, {"etcd-readiness": check(config.etcd_readycheck_seconds)}, store.path)
