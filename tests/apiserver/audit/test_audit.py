"""Requests to the real server, and what its audit log says about them."""

import asyncio
import gzip
import json
import stat
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.server import MERGE, Lines, config_map, serving
from tiphys.apiserver.audit import legacy
from tiphys.apiserver.audit.assembly import auditor_of
from tiphys.apiserver.audit.auditor import Audit
from tiphys.apiserver.audit.batch import Batching
from tiphys.apiserver.audit.config import AuditConfig, Bounds
from tiphys.apiserver.audit.logfile import LogFile
from tiphys.apiserver.audit.policy import Policy
from tiphys.apiserver.seams import AllowAll, Attributes, Context, Decision, RawRoute, Seams
from tiphys.base.clock import RealClock
from tiphys.machinery import errors
from tiphys.wire.exchange import Request, Response, UserInfo

MAPS = "/api/v1/namespaces/d/configmaps"
JANE = UserInfo("jane", "u1", ("devs",), {"k": ("v",)})


class Kept:
    """Events, decoded."""

    name = "test"
    dropped = 0

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def put(self, line: bytes) -> None:
        self.events.append(json.loads(line))

    async def close(self) -> None:
        return None

    def stages(self) -> list[tuple[str, str]]:
        return [(event["verb"], event["stage"]) for event in self.events]


class Gatekeeper(AllowAll):
    """Says who asks, or that nobody may; names starting with ``x`` are refused."""

    async def authenticate(self, request: Request) -> UserInfo | None:
        if "authorization" in request.headers:
            raise errors.Unauthorized
        return JANE

    async def authorize(self, user: UserInfo, attributes: Attributes) -> Decision:
        return Decision(not attributes.name.startswith("x"), "because")


async def broken(context: Context) -> Response:
    raise ValueError("a fault of ours")


def audited(*rules: dict[str, Any], **more: Any) -> tuple[Kept, Seams]:
    document = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more}
    kept = Kept()
    keeper = Gatekeeper()
    audit = Audit(Policy.parse(json.dumps(document).encode()), [kept], RealClock())
    return kept, Seams(keeper, keeper, routes=(RawRoute("/broken", broken),), auditor=audit)


async def test_an_event_says_who_asked_what_and_what_came_of_it() -> None:
    kept, seams = audited({"level": "RequestResponse", "omitManagedFields": True})
    async with serving(seams) as api:
        answer = await api.raw("POST", MAPS, config_map("a"), {"fieldManager": "me"}, audit_id="mine", user_agent="t/1")
    received, complete = kept.events
    assert answer.audit_id == "mine"
    assert received["stage"] == "RequestReceived" and received["requestReceivedTimestamp"] == received["stageTimestamp"]
    assert {"responseStatus", "requestObject", "annotations"}.isdisjoint(received)
    assert list(complete)[:2] == ["kind", "apiVersion"]
    assert complete.pop("requestReceivedTimestamp") <= complete.pop("stageTimestamp")
    sent = config_map("a")
    assert complete.pop("requestObject") == sent
    shown = complete.pop("responseObject")
    assert shown["metadata"]["name"] == "a" and "managedFields" not in shown["metadata"]
    assert complete == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "RequestResponse",
        "auditID": "mine",
        "stage": "ResponseComplete",
        "requestURI": f"{MAPS}?fieldManager=me",
        "verb": "create",
        "user": {"username": "jane", "uid": "u1", "groups": ["devs"], "extra": {"k": ["v"]}},
        "userAgent": "t/1",
        "objectRef": {"resource": "configmaps", "namespace": "d", "name": "a", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 201},
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "because"},
    }


async def test_levels_show_more_or_less() -> None:
    shown: dict[str, set[str]] = {}
    for level in ("None", "Metadata", "Request", "RequestResponse"):
        kept, seams = audited({"level": level, "omitStages": ["RequestReceived"]})
        async with serving(seams) as api:
            await api.ok("POST", MAPS, config_map("a"))
            await api.ok("PATCH", f"{MAPS}/a", {"data": {"k": "v"}}, content_type=MERGE)
        shown[level] = {key for event in kept.events for key in event if key.endswith("Object")}
        assert len(kept.events) == (0 if level == "None" else 2)
        if level == "Request":
            assert kept.events[1]["requestObject"] == {"data": {"k": "v"}}
    assert shown == {
        "None": set(),
        "Metadata": set(),
        "Request": {"requestObject"},
        "RequestResponse": {"requestObject", "responseObject"},
    }


async def test_refusals_are_written_with_their_reason() -> None:
    kept, seams = audited({"level": "Metadata", "omitStages": ["RequestReceived"]})
    async with serving(seams) as api:
        await api.raw("GET", f"{MAPS}/x")
        await api.raw("GET", f"{MAPS}/a")
        await api.raw("GET", f"{MAPS}/a", authorization="Bearer wrong")
    forbidden, missing, unknown = kept.events
    assert forbidden["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert (forbidden["responseStatus"]["code"], forbidden["responseStatus"]["reason"]) == (403, "Forbidden")
    assert missing["responseStatus"]["reason"] == "NotFound"
    assert (unknown["stage"], unknown["user"]) == ("ResponseStarted", {})
    assert unknown["responseStatus"] == {
        "metadata": {},
        "message": "Authentication failed, attempted: bearer",
        "code": 401,
    }


async def test_a_watch_is_written_when_it_begins_and_when_it_ends() -> None:
    kept, seams = audited({"level": "Metadata"})
    async with serving(seams) as api:
        response = await api.raw("GET", MAPS, query={"watch": "1", "timeoutSeconds": "1"})
        assert kept.stages() == [("watch", "RequestReceived"), ("watch", "ResponseStarted")]
        assert response.stream is not None
        task = asyncio.create_task(response.stream(Lines()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert kept.stages()[2:] == [("watch", "ResponseComplete")]


async def test_faults_of_the_server_are_a_stage_of_their_own() -> None:
    kept, seams = audited({"level": "Metadata"}, omitStages=["RequestReceived"])
    async with serving(seams) as api:
        assert (await api.raw("GET", "/broken")).status == 500
    (event,) = kept.events
    assert event["stage"] == "Panic" and event["responseStatus"]["code"] == 500
    assert event["responseStatus"]["message"].startswith("APIServer panic'd: ")


async def test_who_acts_as_another_is_named_too() -> None:
    kept, seams = audited({"level": "Metadata", "omitStages": ["RequestReceived"]})
    async with serving(seams) as api:
        acted = UserInfo("joe", groups=("g",), impersonator=JANE)
        await api.server.handle(Request("GET", MAPS, user=acted, remote="10.0.0.1", headers={"x-real-ip": "1.2.3.4"}))
    (event,) = kept.events
    assert event["user"]["username"] == "jane"
    assert event["impersonatedUser"] == {"username": "joe", "groups": ["g"]}
    assert event["sourceIPs"] == ["1.2.3.4", "10.0.0.1"]


async def test_every_answer_has_an_id() -> None:
    async with serving() as api:
        first, second = [await api.raw("GET", path) for path in (MAPS, "/nothing")]
        assert first.audit_id and second.audit_id and first.audit_id != second.audit_id
        assert len((await api.raw("GET", MAPS, audit_id="a" * 100)).audit_id) == 64


def test_the_older_format() -> None:
    event = {
        "auditID": "i",
        "stage": "ResponseComplete",
        "verb": "get",
        "requestURI": "/x",
        "user": {"username": "jane", "groups": ["a", "b"]},
        "sourceIPs": ["10.0.0.1"],
        "stageTimestamp": "2026-01-01T00:00:00.000000Z",
        "responseStatus": {"code": 200},
    }
    assert legacy.text_of(json.dumps(event).encode()).decode() == (
        '2026-01-01T00:00:00.000000Z AUDIT: id="i" stage="ResponseComplete" ip="10.0.0.1" method="get" user="jane" '
        'groups=""a","b"" as="<self>" asgroups="<lookup>" user-agent="" namespace="<none>" uri="/x" response="200"'
    )


class Hours(RealClock):
    """Each look is an hour later."""

    def __init__(self) -> None:
        self.hours = 0

    def now(self) -> Any:
        self.hours += 1
        return super().now().replace(minute=0) + timedelta(hours=self.hours)


@pytest.mark.parametrize("compress", [False, True])
async def test_files_are_turned_over_by_size(tmp_path: Path, compress: bool) -> None:
    path = tmp_path / "logs" / "audit.log"
    file = LogFile(str(path), Hours(), size_megabytes_max=1, backups_max=2, compress=compress)
    for number in range(5):
        file.write(b"%d" % number * 700_000 + b"\n")
        await asyncio.gather(*file._tasks)
    await file.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith(b"4")
    kept = sorted(each for each in path.parent.iterdir() if each != path)
    assert len(kept) == 2 and all(each.name.endswith(".gz") == compress for each in kept)
    content = [gzip.decompress(each.read_bytes()) if compress else each.read_bytes() for each in kept]
    assert [each[:1] for each in content] == [b"2", b"3"]
    assert {stat.S_IMODE(each.stat().st_mode) for each in kept} == {0o600}


async def test_a_log_that_cannot_be_turned_over_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    file = LogFile(str(path), Hours(), size_megabytes_max=1)
    moved = tmp_path / "moved"
    file.write(b"x" * 1_100_000)
    path.rename(moved)
    file.write(b"first\n")
    file.write(b"second\n")
    await file.close()
    assert moved.read_bytes().endswith(b"first\nsecond\n")


async def test_a_batch_that_is_on_its_way_at_the_end_is_not_lost() -> None:
    sent: list[Sequence[bytes]] = []
    begun = asyncio.Event()

    async def send(lines: Sequence[bytes]) -> None:
        if not begun.is_set():
            begun.set()
            await asyncio.Event().wait()
        sent.append(lines)

    async def close() -> None:
        return

    batching = Batching(
        "test", send, close, Bounds(buffer_size=10, batch_size=1, wait_seconds=0.0, rate=0.0, burst=1), RealClock()
    )
    batching.put(b"a")
    await begun.wait()
    await batching.close()
    assert sent == [[b"a"]]


async def test_a_log_from_flags(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n")
    audit = auditor_of(AuditConfig(policy_file=str(policy), log_path=str(tmp_path / "a.log")), RealClock())
    assert audit is not None
    async with serving(Seams(auditor=audit)) as api:
        await api.raw("GET", MAPS)
    await audit.close()
    lines = (tmp_path / "a.log").read_bytes().splitlines()
    assert [json.loads(line)["stage"] for line in lines] == ["RequestReceived", "ResponseComplete"]
    assert auditor_of(AuditConfig(log_path=str(tmp_path / "b.log")), RealClock()) is None


async def test_batches_are_full_or_old_and_what_does_not_fit_is_dropped() -> None:
    sent: list[int] = []
    arrived = asyncio.Event()

    async def send(lines: Sequence[bytes]) -> None:
        sent.append(len(lines))
        arrived.set()

    async def close() -> None:
        return None

    sink = Batching("test", send, close, Bounds(5, 3, 0.01, 0.0, 0), RealClock())
    for _ in range(7):
        sink.put(b"{}")
    assert sink.dropped == 2
    while sum(sent) < 5:
        arrived.clear()
        await asyncio.wait_for(arrived.wait(), 5)
    assert sent == [3, 2]
    sink.put(b"{}")
    await sink.close()
    assert sent == [3, 2, 1], "what waits at the end is handed over"


async def test_a_request_is_served_though_its_event_cannot_be_handed_over() -> None:
    async def send(lines: Sequence[bytes]) -> None:
        raise OSError("nobody there")

    async def close() -> None:
        return None

    sink = Batching("test", send, close, Bounds(5, 1, 0.0, 0.0, 0), RealClock())
    sink.put(b"{}")
    await sink.close()
    assert sink.dropped == 1
