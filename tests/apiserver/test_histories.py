"""Histories of generated writes: what lists, pages and watches say must fit one another and a plain model.

The model is a dict per revision: slow, and obviously right.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.apiserver.server import MERGE, Api, Lines, config_map, serving

ALL = "/api/v1/configmaps"
NAMESPACES = ("a", "b")
NAMES = ("x", "y", "z")
COLOURS = ("red", "blue")
SELECTORS = ("", "colour=red", "colour!=red", "colour in (red,blue)", "!colour")

Key = tuple[str, str]
State = dict[Key, dict[str, Any]]

places = st.tuples(st.sampled_from(NAMESPACES), st.sampled_from(NAMES))
colours = st.sampled_from((*COLOURS, ""))
writes = st.tuples(st.sampled_from(("put", "patch", "delete")), places, colours, st.integers(0, 3))
#: Begin a watch: of which namespace (empty: all), with which selector, from how many writes ago (None: initial events).
watches = st.tuples(
    st.just("watch"), st.sampled_from(("", *NAMESPACES)), st.sampled_from(SELECTORS), st.none() | st.integers(0, 6)
)


@dataclass
class Model:
    """What was stored at each revision."""

    revisions: list[int] = field(default_factory=list)
    states: list[State] = field(default_factory=list)

    def at(self, revision: int) -> State:
        return next(
            (s for r, s in zip(reversed(self.revisions), reversed(self.states), strict=True) if r <= revision), {}
        )

    def note(self, revision: int, key: Key, obj: dict[str, Any] | None) -> None:
        state = dict(self.states[-1]) if self.states else {}
        if obj is None:
            state.pop(key, None)
        else:
            state[key] = obj
        self.revisions.append(revision)
        self.states.append(state)


def selected(state: State, namespace: str, selector: str) -> State:
    return {
        key: obj
        for key, obj in state.items()
        if namespace in ("", key[0]) and _matches(obj["metadata"].get("labels", {}).get("colour"), selector)
    }


def _matches(colour: str | None, selector: str) -> bool:
    match selector:
        case "colour=red":
            return colour == "red"
        case "colour!=red":
            return colour != "red"
        case "!colour":
            return colour is None
        case "colour in (red,blue)":
            return colour in COLOURS
    return True


def path_of(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps" if namespace else ALL


def revision_of(obj: dict[str, Any]) -> int:
    return int(obj["metadata"]["resourceVersion"])


async def write(api: Api, model: Model, step: Any) -> None:
    verb, (namespace, name), colour, value = step
    key, path = (namespace, name), path_of(namespace)
    there = key in (model.states[-1] if model.states else {})
    labels = {"colour": colour} if colour else {}
    if verb == "delete":
        if there:
            await api.ok("DELETE", f"{path}/{name}")
            # The revision of a deletion is not in its answer, but no other write has come since.
            model.note((await newest(api)), key, None)
        return
    if not there:
        obj = await api.ok("POST", path, config_map(name, {"v": str(value)}, **labels))
    elif verb == "put":
        obj = await api.ok("PUT", f"{path}/{name}", config_map(name, {"v": str(value)}, **labels))
    else:
        change = {"metadata": {"labels": {"colour": colour or None}}, "data": {"v": str(value)}}
        obj = await api.ok("PATCH", f"{path}/{name}", change, content_type=MERGE)
    if not model.revisions or revision_of(obj) > model.revisions[-1]:
        model.note(revision_of(obj), key, obj)


async def newest(api: Api) -> int:
    return int((await api.ok("GET", ALL))["metadata"]["resourceVersion"])


@dataclass
class Watching:
    namespace: str
    selector: str
    #: Where it begins; None for "with what is there".
    since: int | None
    lines: Lines


def replayed(watch: Watching, before: State) -> State:
    """What somebody who follows the watch believes; also that it never goes back."""
    state, last = dict(before), watch.since or 0
    began = watch.since is not None
    for event in watch.lines.events:
        obj, kind = event["object"], event["type"]
        if kind == "BOOKMARK":
            began = True
            last = revision_of(obj)
            continue
        if began:
            assert revision_of(obj) > last, "a watch went back"
            last = revision_of(obj)
        key = (obj["metadata"]["namespace"], obj["metadata"]["name"])
        assert (key in state) == (kind != "ADDED"), f"{kind} of {key}, which is {'' if key in state else 'not '}there"
        if kind == "DELETED":
            del state[key]
        else:
            state[key] = obj
    return state


def told(watch: Watching) -> int:
    """The newest revision that it has been told of."""
    return max((revision_of(event["object"]) for event in watch.lines.events), default=watch.since or 0)


async def until_settled(watch: Watching, wanted: State, before: State) -> None:
    """Wait until the watch has told everything; its last word must be what is stored."""
    async with asyncio.timeout(5):
        while replayed(watch, before) != wanted:
            await watch.lines.wait(len(watch.lines.events) + 1)


async def check_lists(api: Api, model: Model) -> None:
    for revision in model.revisions[-6:]:
        query = {"resourceVersion": str(revision), "resourceVersionMatch": "Exact"}
        found = await api.ok("GET", ALL, query=query)
        assert listed(found["items"]) == model.at(revision)
    state = model.states[-1]
    for namespace in ("", *NAMESPACES):
        for selector in SELECTORS:
            found = await api.ok("GET", path_of(namespace), query={"labelSelector": selector} if selector else {})
            assert listed(found["items"]) == selected(state, namespace, selector)


async def check_pages(api: Api, model: Model, disturb: Any) -> None:
    """Pages of one list show one moment, whatever is written between them."""
    wanted = model.states[-1]
    page = await api.ok("GET", ALL, query={"limit": "2"})
    items = page["items"]
    await write(api, model, disturb)
    while token := page["metadata"].get("continue"):
        page = await api.ok("GET", ALL, query={"limit": "2", "continue": token})
        items += page["items"]
    assert listed(items) == wanted


def listed(items: list[dict[str, Any]]) -> State:
    """Items carry neither kind nor apiVersion."""
    head = {"kind": "ConfigMap", "apiVersion": "v1"}
    return {(o["metadata"]["namespace"], o["metadata"]["name"]): {**head, **o} for o in items}


async def play(steps: list[Any], disturb: Any) -> None:
    model = Model()
    begun: list[tuple[Watching, State]] = []
    async with serving() as api, AsyncExitStack() as stack:
        await write(api, model, ("put", ("a", "x"), "red", 0))
        for step in steps:
            if step[0] != "watch":
                await write(api, model, step)
                continue
            _, namespace, selector, ago = step
            query = {"labelSelector": selector} if selector else {}
            since = None if ago is None else model.revisions[max(0, len(model.revisions) - 1 - ago)]
            if since is None:
                query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
                query |= {"allowWatchBookmarks": "true"}
            else:
                query["resourceVersion"] = str(since)
            lines = await stack.enter_async_context(api.watching(path_of(namespace), **query))
            before = {} if since is None else selected(model.at(since), namespace, selector)
            begun.append((Watching(namespace, selector, since, lines), before))
        await check_lists(api, model)
        await check_pages(api, model, disturb)
        for watch, before in begun:
            wanted = selected(model.states[-1], watch.namespace, watch.selector)
            await until_settled(watch, wanted, before)
            assert told(watch) <= await newest(api)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(writes, writes, writes, watches), min_size=1, max_size=25), writes)
def test_lists_pages_and_watches_tell_one_story(steps: list[Any], disturb: Any) -> None:
    asyncio.run(play(steps, disturb))
