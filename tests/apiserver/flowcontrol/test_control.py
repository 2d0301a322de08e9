"""Flow control over the real server: who gets in, who waits, who is refused, in what order."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.apiserver.server import MERGE, Api, config_map, serving
from tiphys.apiserver.flowcontrol import FlowControl, maintenance
from tiphys.apiserver.gate import Refused, Ticket
from tiphys.apiserver.seams import AllowAll, Attributes, Context, RawRoute, Seams
from tiphys.base.clock import RealClock
from tiphys.wire.exchange import Request, Response, UserInfo

FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"
ROOT = UserInfo("root", groups=("system:masters",))


class Ticks(RealClock):
    """Time stands still unless it is moved."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


def user(name: str) -> UserInfo:
    return UserInfo(name, groups=("system:authenticated",))


def level(name: str, shares: int = 30, **queuing: int) -> dict[str, Any]:
    response: dict[str, Any] = {"type": "Queue", "queuing": queuing} if queuing else {"type": "Reject"}
    own = {"nominalConcurrencyShares": shares, "lendablePercent": 0, "borrowingLimitPercent": 0}
    limited = {**own, "limitResponse": response}
    kind = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration"}
    return {**kind, "metadata": {"name": name}, "spec": {"type": "Limited", "limited": limited}}


def schema(name: str, level_name: str, precedence: int = 50) -> dict[str, Any]:
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    rules = [{
        "subjects": [{"kind": "Group", "group": {"name": "system:authenticated"}}],
        "resourceRules": [everything],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }]  # fmt: skip
    spec = {"matchingPrecedence": precedence, "distinguisherMethod": {"type": "ByUser"}, "rules": rules}
    kind = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema"}
    return {**kind, "metadata": {"name": name}, "spec": {**spec, "priorityLevelConfiguration": {"name": level_name}}}


class Flow:
    """A server's flow control, asked directly."""

    def __init__(self, api: Api, control: FlowControl, clock: Ticks) -> None:
        self.api = api
        self.control = control
        self.clock = clock
        self.order: list[str] = []

    def begin(self, name: str, verb: str = "get") -> Ticket:
        asked = Attributes(verb, "/x", user(name), True, "", "v1", "configmaps", "", "d")
        return self.control.begin(Request("GET", "/x"), asked)

    async def run(self, name: str, seconds: float = 1.0) -> None:
        """One request, from its coming to its end, of so many seconds of the clock."""
        ticket = self.begin(name)
        if ticket.turn is not None:
            await self.control.wait(ticket)
        self.order.append(name)
        await asyncio.sleep(0)
        self.clock.seconds += seconds
        self.control.end(ticket)


@asynccontextmanager
async def flowing(*objects: dict[str, Any], total: int = 600, timeout: float = 60.0) -> AsyncIterator[Flow]:
    clock = Ticks()
    async with serving() as api, maintenance.keeping(api.server.objects, RealClock()):
        control = FlowControl(api.server.objects, clock, total, timeout)
        for each in objects:
            plural = "flowschemas" if each["kind"] == "FlowSchema" else "prioritylevelconfigurations"
            await api.ok("POST", f"{FLOW}/{plural}", each)
        yield Flow(api, control, clock)


def single(**queuing: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A level of one seat if the server has 246: all but one share are the default levels'."""
    return level("single", 1, **queuing), schema("ours", "single")


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_flood_of_one_user_does_not_starve_another() -> None:
    async with flowing(*single(queues=64, handSize=4, queueLengthLimit=50), total=246) as flow:
        async with asyncio.TaskGroup() as group:
            for _ in range(40):
                group.create_task(flow.run("flood"))
            await asyncio.sleep(0)
            for _ in range(3):
                group.create_task(flow.run("quiet"))
        served = [index for index, name in enumerate(flow.order) if name == "quiet"]
    assert len(flow.order) == 43
    assert max(served) < 20, flow.order


async def test_requests_that_come_in_one_turn_are_concurrent() -> None:
    async with flowing(*single(queues=4, handSize=1, queueLengthLimit=50), total=246) as flow:
        first = flow.begin("jane")
        flow.control.end(first)
        second = flow.begin("jane")
        assert second.turn is not None, "the seat is free on the loop's next turn"
        await flow.control.wait(second)
        flow.control.end(second)
        await turns()
        assert flow.begin("jane").turn is None


async def test_full_queues_refuse_and_say_when_to_come_back() -> None:
    async with flowing(*single(queues=1, handSize=1, queueLengthLimit=2), total=246) as flow:
        held = [flow.begin("jane") for _ in range(3)]
        assert [ticket.turn is None for ticket in held] == [True, False, False]
        with pytest.raises(Refused) as caught:
            flow.begin("jane")
    answer = caught.value.response()
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
    assert answer.body == b"Too many requests, please try again later.\n"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Kubernetes-PF-FlowSchema-UID"] == held[0].headers["X-Kubernetes-PF-FlowSchema-UID"]


async def test_levels_without_queues_refuse_at_once() -> None:
    async with flowing(*single(), total=246) as flow:
        flow.begin("jane")
        with pytest.raises(Refused):
            flow.begin("joe")
        counts = flow.control.counts["ours", "single"]
        assert counts.refused == {"concurrency-limit": 1}


async def test_who_waits_too_long_is_refused_and_leaves_no_trace() -> None:
    async with flowing(*single(queues=4, handSize=1, queueLengthLimit=5), total=246, timeout=0.04) as flow:
        running = flow.begin("jane")
        waiting = flow.begin("joe")
        with pytest.raises(Refused):
            await flow.control.wait(waiting)
        gone = asyncio.create_task(flow.control.wait(flow.begin("joe")))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        flow.control.end(running)
        await turns()
        one = flow.control.levels["single"]
        assert (one.waiting, one.executing, one.seats_in_use, one.demand.seats) == (0, 0, 0, 0)
        assert flow.control.counts["ours", "single"].refused == {"time-out": 1, "cancelled": 1}


async def test_lists_of_many_take_more_seats() -> None:
    async with flowing() as flow:
        for number in range(250):
            await flow.api.ok("POST", "/api/v1/namespaces/d/configmaps", config_map(f"m{number}"))
        flow.begin("jane", "list")
        assert flow.control.levels["global-default"].seats_in_use == 3


async def test_busy_levels_borrow_after_a_while() -> None:
    async with flowing(total=600) as flow:
        one = flow.control.levels.get("global-default")
        flow.begin("jane")
        one = flow.control.levels["global-default"]
        assert one.limit == 49
        held = [flow.begin("jane") for _ in range(80)]
        assert sum(ticket.turn is None for ticket in held) == 48
        flow.clock.seconds += 10.0
        flow.begin("joe")
        assert one.limit > 80
        assert sum(ticket.turn is not None and ticket.turn.done() for ticket in held) == 32
        assert flow.control.levels["workload-low"].limit >= flow.control.limits["workload-low"].lower


async def test_administrators_are_exempt() -> None:
    async with flowing(total=1) as flow:
        asked = Attributes("list", "/x", ROOT, True, "", "v1", "pods")
        assert all(flow.control.begin(Request("GET", "/x"), asked).turn is None for _ in range(500))


async def test_configuration_is_followed() -> None:
    async with flowing() as flow:
        before = flow.begin("jane").headers
        await flow.api.ok("POST", f"{FLOW}/prioritylevelconfigurations", level("mine"))
        made = await flow.api.ok("POST", f"{FLOW}/flowschemas", schema("mine", "mine"))
        after = flow.begin("jane").headers
        assert after["X-Kubernetes-PF-FlowSchema-UID"] == made["metadata"]["uid"] != before
        await flow.api.ok("DELETE", f"{FLOW}/flowschemas/mine")
        assert flow.begin("jane").headers == before
        await flow.api.ok("DELETE", f"{FLOW}/prioritylevelconfigurations/mine")
        flow.begin("jane")
        assert "mine" in flow.control.levels, "it goes when its last request has ended"


async def test_objects_are_kept_and_conditions_are_written() -> None:
    async with serving() as api:
        objects = api.server.objects
        await maintenance.one_pass(objects, RealClock())
        listed = await api.ok("GET", f"{FLOW}/flowschemas")
        assert len(listed["items"]) == 13
        revision = api.store.revision
        await maintenance.one_pass(objects, RealClock())
        assert api.store.revision == revision, "nothing to do the second time"

        change = {"spec": {"matchingPrecedence": 7000}}
        own = {"metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": "false"}}, **change}
        await api.ok("DELETE", f"{FLOW}/flowschemas/catch-all")
        await api.ok("PATCH", f"{FLOW}/flowschemas/probes", change, content_type=MERGE)
        await api.ok("PATCH", f"{FLOW}/flowschemas/global-default", own, content_type=MERGE)
        await api.ok("DELETE", f"{FLOW}/flowschemas/exempt")
        await api.ok("POST", f"{FLOW}/flowschemas", schema("lost", "nowhere"))
        await maintenance.one_pass(objects, RealClock())
        found = {one["metadata"]["name"]: one for one in (await api.ok("GET", f"{FLOW}/flowschemas"))["items"]}
        precedence = {name: one["spec"]["matchingPrecedence"] for name, one in found.items()}
        assert (precedence["catch-all"], precedence["probes"], precedence["exempt"]) == (10000, 2, 1)
        assert precedence["global-default"] == 7000, "its owner has taken it over"
        condition = found["lost"]["status"]["conditions"][0]
        assert (condition["type"], condition["status"], condition["reason"]) == ("Dangling", "True", "NotFound")
        assert condition["message"] == (
            'This FlowSchema references the PriorityLevelConfiguration object named "nowhere" '
            "but there is no such object"
        )
        assert found["probes"]["status"]["conditions"][0]["status"] == "False"


class Names(AllowAll):
    async def authenticate(self, request: Request) -> UserInfo | None:
        return user(request.headers.get("x-user", "jane"))


async def test_the_chain_queues_refuses_and_says_how_a_request_was_classified() -> None:
    opened = asyncio.Event()
    order: list[str] = []

    async def slow(context: Context) -> Response:
        order.append(context.user.name)
        await opened.wait()
        return Response(200, {}, b"{}")

    seams = Seams(Names(), routes=(RawRoute("/slow", slow),))
    async with serving(seams) as api:
        await maintenance.one_pass(api.server.objects, RealClock())
        for each in single(queues=1, handSize=1, queueLengthLimit=1):
            plural = "flowschemas" if each["kind"] == "FlowSchema" else "prioritylevelconfigurations"
            await api.ok("POST", f"{FLOW}/{plural}", each)
        api.server._handler._gate = control = FlowControl(api.server.objects, RealClock(), 246, 60.0)

        async def ask(names: Sequence[str]) -> list[Response]:
            tasks = []
            for name in names:
                tasks.append(asyncio.create_task(api.raw("GET", "/slow", x_user=name)))
                await turns()
            assert order == ["a"], "one runs, one waits, one is refused"
            opened.set()
            return await asyncio.gather(*tasks)

        answers = await ask(["a", "b", "c"])
        assert [answer.status for answer in answers] == [200, 200, 429]
        uids = {answer.headers["X-Kubernetes-PF-FlowSchema-UID"] for answer in answers}
        stored = await api.ok("GET", f"{FLOW}/flowschemas/ours")
        assert uids == {stored["metadata"]["uid"]}
        missing = await api.raw("GET", "/api/v1/namespaces/d/configmaps/none")
        assert missing.status == 404 and missing.headers["X-Kubernetes-PF-PriorityLevel-UID"]
        assert json.loads(missing.body)["reason"] == "NotFound"
        assert control.levels["single"].executing == 0
