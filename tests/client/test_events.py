"""Which Events are written, and how; and who leads."""

import asyncio

import msgspec

from tests.client.virtual import VirtualClock
from tiphys.api import coordination_v1, core_v1, meta_v1
from tiphys.apiserver import ApiServer, ApiServerConfig
from tiphys.base.ids import Ids
from tiphys.client import Client, InProcessTransport, LeaderElector, Recorder
from tiphys.client.events import Correlator, new_event, reference
from tiphys.client.leader import Terms, may_take, taken
from tiphys.store.memory import MemoryStore

POD = core_v1.Pod(metadata=meta_v1.ObjectMeta(name="p", namespace="default", uid="u"))


def event(clock: VirtualClock, reason: str = "R", message: str = "m", name: str = "p") -> core_v1.Event:
    pod = core_v1.Pod(metadata=meta_v1.ObjectMeta(name=name, namespace="default", uid=name))
    clock.elapsed += 0.001
    return new_event(reference(pod), "Normal", reason, message, clock, "test", "")


def test_the_same_again_counts_up() -> None:
    clock = VirtualClock()
    correlator = Correlator(clock)
    first = correlator.correlate(event(clock))
    clock.elapsed += 5
    second = correlator.correlate(event(clock))
    assert first is not None and second is not None
    assert not first.patch and second.patch
    assert (second.event.count, second.event.metadata.name) == (2, first.event.metadata.name)
    assert second.event.firstTimestamp == first.event.firstTimestamp
    assert second.event.lastTimestamp > (first.event.lastTimestamp or "")


def test_what_two_containers_have_in_common_is_said_of_each() -> None:
    clock = VirtualClock()
    correlator = Correlator(clock)
    paths = ("spec.containers{a}", "spec.containers{b}")
    refs = [msgspec.structs.replace(event(clock).involvedObject, fieldPath=path) for path in paths]
    writes = [correlator.correlate(msgspec.structs.replace(event(clock), involvedObject=ref)) for ref in refs]
    assert [write.patch for write in writes if write] == [False, False]


def test_similar_ones_are_combined_after_ten() -> None:
    clock = VirtualClock()
    correlator = Correlator(clock)
    writes = [correlator.correlate(event(clock, message=f"m{number}")) for number in range(12)]
    messages = [write.event.message for write in writes if write is not None]
    assert messages[8] == "m8"
    assert messages[9:] == [f"(combined from similar events): m{number}" for number in (9, 10, 11)]
    assert [write.patch for write in writes if write][9:] == [False, True, True]


def test_an_object_that_says_too_much_is_cut_off_and_others_are_not() -> None:
    clock = VirtualClock()
    correlator = Correlator(clock)
    allowed = [correlator.correlate(event(clock, reason=f"R{number}")) is not None for number in range(30)]
    assert allowed == [True] * 25 + [False] * 5
    assert correlator.correlate(event(clock, name="other")) is not None
    clock.elapsed += 301
    assert correlator.correlate(event(clock, reason="later")) is not None
    assert correlator.correlate(event(clock, reason="later still")) is None


async def test_events_reach_the_server() -> None:
    async with ApiServer(ApiServerConfig(), MemoryStore()) as api:
        client = Client(InProcessTransport(api.handle))
        await client.of(core_v1.Namespace).create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="default")))
        clock = VirtualClock()
        async with Recorder(client, clock, Ids(), component="kubelet", host="n1") as recorder:
            recorder.event(POD, "Warning", "BackOff", "Back-off", field_path="spec.containers{c}")
            clock.elapsed += 10
            recorder.event(POD, "Warning", "BackOff", "Back-off", field_path="spec.containers{c}")
        (found,) = (await client.of(core_v1.Event).list("default")).items
    assert (found.count, found.reason, found.type, found.message) == (2, "BackOff", "Warning", "Back-off")
    assert (found.firstTimestamp, found.lastTimestamp) == ("2026-01-31T08:00:00Z", "2026-01-31T08:00:10Z")
    assert (found.source.component, found.source.host) == ("kubelet", "n1")
    assert (found.reportingComponent, found.reportingInstance) == ("kubelet", "n1")
    ref = found.involvedObject
    assert (ref.kind, ref.name, ref.uid, ref.fieldPath) == ("Pod", "p", "u", "spec.containers{c}")


def test_a_lease_is_taken_only_when_free_or_stale() -> None:
    clock = VirtualClock()
    terms = Terms()
    lease = taken(coordination_v1.Lease(), "a", terms, clock.now())
    assert (lease.spec.holderIdentity, lease.spec.leaseDurationSeconds, lease.spec.leaseTransitions) == ("a", 15, 0)
    assert may_take(lease, "a", 0) and not may_take(lease, "b", 14) and may_take(lease, "b", 15)
    later = taken(lease, "b", terms, clock.now())
    assert later.spec.leaseTransitions == 1


async def test_the_second_candidate_leads_when_the_first_leaves() -> None:
    async with ApiServer(ApiServerConfig(), MemoryStore()) as api:
        client = Client(InProcessTransport(api.handle))
        await client.of(core_v1.Namespace).create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="kube-system")))
        clock = VirtualClock(manual=True)

        def elector(identity: str) -> LeaderElector:
            return LeaderElector(client, clock, namespace="kube-system", name="lock", identity=identity)

        first, second = elector("a"), elector("b")
        await first.__aenter__()
        entering = asyncio.ensure_future(second.__aenter__())
        await clock.advance(2)
        await clock.advance(2)
        assert first.leading and not entering.done()
        await first.__aexit__()
        async with asyncio.timeout(5):
            while not entering.done():
                await clock.advance(2)
        assert second.leading and not first.leading
        await second.__aexit__()
