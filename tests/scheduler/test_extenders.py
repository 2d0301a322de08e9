"""Extenders: real HTTP servers that have a say in decisions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from aiohttp import web

from tests.apiserver.server import serving
from tests.scheduler.test_configuration import document
from tests.scheduler.test_cycle import node, pod, table
from tiphys.api import core_v1, meta_v1
from tiphys.base.clock import RealClock
from tiphys.client import Client, Informers, InProcessTransport
from tiphys.machinery import codec
from tiphys.scheduler.classes import Classes
from tiphys.scheduler.configuration import ConfigurationError, configured
from tiphys.scheduler.cycle import Placement, Refusal, decide
from tiphys.scheduler.extended import Extenders, decide_extended
from tiphys.scheduler.extenders import Extender, ExtenderConfig, ExtenderError
from tiphys.scheduler.loop import Scheduler
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.plugins.registry import default_plugins
from tiphys.scheduler.pods import PodInfo
from tiphys.scheduler.preemption import Budgets

Answer = Callable[[dict[str, Any]], Any]


@asynccontextmanager
async def server(**verbs: Answer) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """An extender's URL, and what it has been asked."""
    asked: list[dict[str, Any]] = []

    async def handle(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append(body)
        answer = verbs[request.match_info["verb"]](body)
        if isinstance(answer, int):
            return web.Response(status=answer)
        return web.json_response(answer)

    app = web.Application()
    app.router.add_post("/x/{verb}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/x", asked
    finally:
        await runner.cleanup()


async def decided(info: PodInfo, nodes: NodeTable, *configs: ExtenderConfig) -> Placement | Refusal:
    extenders = Extenders([Extender(config) for config in configs])
    try:
        pod_class = Classes(nodes, default_plugins()).of(info)
        return await decide_extended(info, pod_class, nodes, Budgets(), True, extenders.of(info))
    finally:
        await extenders.close()


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await work()

    asyncio.run(main())


def three() -> NodeTable:
    return table(node("a"), node("b"), node("c"))


@pytest.mark.parametrize("knows_nodes", [True, False])
def test_a_filter_narrows_and_its_reasons_are_told(knows_nodes: bool) -> None:
    def only(*names: str) -> Answer:
        def answer(body: dict[str, Any]) -> Any:
            failed = {"FailedNodes": {"a": "too blue"}, "FailedAndUnresolvableNodes": {}}
            if knows_nodes:
                return {"NodeNames": [name for name in body["NodeNames"] if name in names]} | failed
            items = [item for item in body["Nodes"]["items"] if item["metadata"]["name"] in names]
            return {"nodes": {"items": items}} | failed

        return answer

    async def work() -> None:
        async with server(some=only("b"), none=only(), mute=lambda _: {}) as (url, asked):
            config = ExtenderConfig(url, filter_verb="some", knows_nodes=knows_nodes)
            decision = await decided(pod("p"), three(), config)
            assert isinstance(decision, Placement)
            assert decision.node_name == "b"
            assert asked[0]["Pod"]["metadata"]["name"] == "p"
            refusal = await decided(pod("p"), three(), ExtenderConfig(url, filter_verb="none", knows_nodes=knows_nodes))
            assert isinstance(refusal, Refusal)
            assert refusal.message.startswith("0/3 nodes are available: 1 too blue.")
            assert isinstance(await decided(pod("p"), three(), ExtenderConfig(url, filter_verb="mute")), Refusal)

    run(work)


def test_points_are_weighed() -> None:
    def best(name: str) -> Answer:
        return lambda body: [{"Host": each, "Score": 10 if each == name else 0} for each in body["NodeNames"]]

    async def work() -> None:
        async with server(one=best("b"), two=best("c"), broken=lambda _: 500) as (url, _):
            one = ExtenderConfig(url, prioritize_verb="one", weight=2, knows_nodes=True)
            two = ExtenderConfig(url, prioritize_verb="two", weight=3, knows_nodes=True)
            broken = ExtenderConfig(url, prioritize_verb="broken", weight=9, knows_nodes=True)
            decision = await decided(pod("p"), three(), one, two, broken)
            assert isinstance(decision, Placement)
            assert decision.node_name == "c"

    run(work)


def test_what_fails_ends_the_attempt_unless_it_may_be_passed_over() -> None:
    async def work() -> None:
        async with server(broken=lambda _: 503, wrong=lambda _: {"NodeNames": ["z"]}) as (url, _):
            with pytest.raises(ExtenderError, match=f"failed broken with extender at URL {url}/broken, code 503"):
                await decided(pod("p"), three(), ExtenderConfig(url, filter_verb="broken"))
            with pytest.raises(ExtenderError, match='claims a filtered node "z" which is not found'):
                await decided(pod("p"), three(), ExtenderConfig(url, filter_verb="wrong", knows_nodes=True))
            passed = await decided(pod("p"), three(), ExtenderConfig(url, filter_verb="broken", ignorable=True))
            assert isinstance(passed, Placement)
        with pytest.raises(ExtenderError, match=r'Post "http://127\.0\.0\.1:1/x/f"'):
            await decided(pod("p"), three(), ExtenderConfig("http://127.0.0.1:1/x", filter_verb="f"))

    run(work)


def test_only_pods_that_ask_for_its_resources_concern_it() -> None:
    config = ExtenderConfig("http://127.0.0.1:1", filter_verb="f", resources=frozenset({"example.com/gpu"}))
    other = pod("p", "1")
    mine = pod("p", "1")
    mine.pod.spec.containers[0].resources.limits = {"example.com/gpu": "1"}
    assert [Extender(config).concerns(info) for info in (other, mine)] == [False, True]


def test_an_extender_chooses_among_evictions() -> None:
    def keep_b(body: dict[str, Any]) -> Any:
        return {"nodeNameToMetaVictims": {name: v for name, v in body["NodeNameToMetaVictims"].items() if name == "b"}}

    async def work() -> None:
        nodes = table(node("a"), node("b"))
        for name in ("a", "b"):
            nodes.place(pod(f"low-{name}", "4"), name)
        async with server(preempt=keep_b, never=lambda _: {"NodeNameToMetaVictims": {}}) as (url, asked):
            refusal = await decided(
                pod("p", "4", priority=9), nodes, ExtenderConfig(url, preempt_verb="preempt", knows_nodes=True)
            )
            assert isinstance(refusal, Refusal)
            assert refusal.eviction is not None
            assert refusal.eviction.node_name == "b"
            assert asked[0]["NodeNameToMetaVictims"]["a"] == {"Pods": [{"UID": "low-a"}], "NumPDBViolations": 0}
            refusal = await decided(
                pod("p", "4", priority=9), nodes, ExtenderConfig(url, preempt_verb="never", knows_nodes=True)
            )
            assert isinstance(refusal, Refusal)
            assert refusal.eviction is None

    run(work)


ENTRY = {"urlPrefix": "http://e", "managedResources": [{"name": "example.com/gpu", "ignoredByScheduler": True}]}


def test_configuration() -> None:
    extender = ENTRY | {"filterVerb": "f", "prioritizeVerb": "p", "weight": 2, "httpTimeout": "1s", "ignorable": True}
    [made] = configured(document(extenders=[extender])).extenders
    assert (made.url, made.filter_verb, made.weight, made.timeout_seconds) == ("http://e", "f", 2, 1.0)
    assert made.ignorable
    config = configured(document(extenders=[ENTRY]))
    info = pod("p", "1")
    info.requests["example.com/gpu"] = 1
    nodes = three()
    plugins = config.profiles[0].plugins(None, None)
    assert isinstance(decide(info, Classes(nodes, plugins).of(info), nodes), Placement), "the extender alone judges it"


@pytest.mark.parametrize(
    ("extenders", "told"),
    [
        ([{}], "extenders[0].urlPrefix: Required value"),
        (
            [{"urlPrefix": "u", "prioritizeVerb": "p"}],
            "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it",
        ),
        (
            [{"urlPrefix": "u", "bindVerb": "b"}, {"urlPrefix": "v", "bindVerb": "b"}],
            "extenders: Invalid value: found 2 extenders implementing bind: only one is allowed",
        ),
    ],
)
def test_mistakes(extenders: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        configured(document(extenders=extenders))
    assert str(caught.value) == told


def test_an_extender_that_binds_in_a_real_cluster() -> None:
    async def work() -> None:
        async with serving() as api:
            client = Client(InProcessTransport(api.server.handle), clock=RealClock())
            bound = asyncio.Event()

            async with server(bind=lambda _: {}, filter=lambda body: {"NodeNames": body["NodeNames"]}) as (url, asked):
                entry = {"urlPrefix": url, "filterVerb": "filter", "bindVerb": "bind", "nodeCacheCapable": True}
                config = configured(document(extenders=[entry]))
                informers = Informers(client, RealClock(), Random(0))
                informers.of(core_v1.Event).add_handler(lambda _: bound.set())
                scheduler = Scheduler(config, client, informers, RealClock(), Random(0))
                async with informers, scheduler:
                    await client.of(core_v1.Node).create(node("a"))
                    made = await client.of(core_v1.Pod).create(_plain_pod())
                    await asyncio.wait_for(bound.wait(), 10)
                uid = made.metadata.uid
                assert asked[0]["NodeNames"] == ["a"]
                assert asked[1] == {"PodName": "p", "PodNamespace": "default", "PodUID": uid, "Node": "a"}

    run(work)


def _plain_pod() -> core_v1.Pod:
    container = core_v1.Container(name="c", image="i")
    pod_spec = core_v1.PodSpec(containers=[container])
    return codec.copy(core_v1.Pod(metadata=meta_v1.ObjectMeta(name="p", namespace="default"), spec=pod_spec))
