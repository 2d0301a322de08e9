"""Compaction of an etcd that several API servers share: one of them does it, each interval.

The key ``compact_rev_key`` says which revision was noted last; its version counts
the rounds. Once an interval each server tries to write the revision that it saw a
round ago, on condition that nobody else has written since: who succeeds compacts.
kube-apiserver does the same with the same key, so ours and theirs take turns.
Source: kube-apiserver's etcd3 compactor, by behaviour.
"""

import asyncio
import contextlib
import logging
from types import TracebackType

from tiphys.base.clock import Clock
from tiphys.store.etcd import messages_pb2 as messages
from tiphys.store.etcd.client import Client
from tiphys.store.interface import Compacted, StoreError

log = logging.getLogger(__name__)
KEY = b"compact_rev_key"
INTERVAL_SECONDS = 300.0


class EtcdCompactor:
    """Runs while entered; an interval of 0 never compacts."""

    def __init__(self, client: Client, clock: Clock, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._client = client
        self._clock = clock
        self._interval = interval_seconds
        self._task: asyncio.Task[None] | None = None
        #: Rounds seen so far, and the revision at the last one.
        self.round = 0
        self.noted = 0

    async def __aenter__(self) -> "EtcdCompactor":
        if self._interval > 0:
            self._task = asyncio.create_task(self._run(), name="etcd-compactor")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(self._interval)
            try:
                await self.step()
            except StoreError as error:
                log.warning("etcd compaction failed: %s", error)

    async def step(self) -> bool:
        """One round; True if it was this server that compacted."""
        mine = messages.RequestOp(request_put=messages.PutRequest(key=KEY, value=b"%d" % self.noted))
        other = messages.RequestOp(request_range=messages.RangeRequest(key=KEY))
        same = messages.Compare(target=messages.Compare.VERSION, key=KEY, version=self.round)
        answer = await self._client.write("txn", messages.TxnRequest(compare=[same], success=[mine], failure=[other]))
        before, self.noted = self.noted, answer.header.revision
        if not answer.succeeded:
            self.round = answer.responses[0].response_range.kvs[0].version
            return False
        self.round += 1
        if not before:
            return False
        with contextlib.suppress(Compacted):
            await self._client.write("compact", messages.CompactionRequest(revision=before))
        return True
