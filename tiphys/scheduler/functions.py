"""Plugins made of ordinary Python functions.

    def not_on_fridays(pod: core_v1.Pod, node: core_v1.Node) -> str | None:
        return "node rests on Fridays" if node.metadata.labels.get("rests") else None

    Profile("default-scheduler", with_functions(filter_plugin("Fridays", not_on_fridays)))

A function that filters or scores sees a Pod and a node and nothing else, so its answer is kept until the node
changes. One that reserves, permits or runs beside the binding is called once for each Pod that has got a node.
"""

import importlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tiphys.api import core_v1
from tiphys.machinery import codec
from tiphys.scheduler.hooks import Hook, HookFailed, Rejected, Wait, Wanted
from tiphys.scheduler.nodes import Bools, Ints, NodeTable
from tiphys.scheduler.plugins.dynamic_resources import Devices
from tiphys.scheduler.plugins.interface import Plugin, Rows
from tiphys.scheduler.plugins.pod_topology_spread import Groups
from tiphys.scheduler.plugins.registry import default_plugins
from tiphys.scheduler.plugins.volume_binding import Volumes
from tiphys.scheduler.pods import PodInfo
from tiphys.scheduler.profiles import MakePlugins
from tiphys.scheduler.waiting import Waiting

logger = logging.getLogger(__name__)

#: Why the Pod must not go to the node, or nothing.
Filter = Callable[[core_v1.Pod, core_v1.Node], str | None]
#: 0 to 100 points.
Score = Callable[[core_v1.Pod, core_v1.Node], int]
#: Why the Pod does not get the node after all, or nothing. With an attribute ``unreserve``, that takes it back.
Reserve = Callable[[core_v1.Pod, core_v1.Node], str | None]
#: The same; or a wait that is ended through ``Waiting``.
Permit = Callable[[core_v1.Pod, core_v1.Node, Waiting], str | Wait | None]
#: May be ``async``; raises to have the Pod tried again.
PreBind = Callable[[core_v1.Pod, core_v1.Node], Awaitable[None] | None]
PostBind = PreBind
#: Extension points that are functions of a hook.
HOOK_POINTS = ("reserve", "permit", "preBind", "postBind")


class PluginFailed(Exception):
    """A function of the user's own raised; the text says which and what, in Kubernetes' words."""


class FunctionPlugin(Plugin):
    """Asks ``filter_function`` and ``score_function``, whichever there is, for one node at a time."""

    def __init__(
        self, name: str, filter_function: Filter | None = None, score_function: Score | None = None, weight: int = 1
    ) -> None:
        self.name = name
        self.filters = filter_function is not None
        self.weight = weight if score_function is not None else 0
        self._filter = filter_function
        self._score = score_function

    def class_part(self, info: PodInfo) -> Any:
        # A function may look at anything its author thought of, the Pod's name included.
        return codec.to_builtins(info.pod)

    def _reason(self, info: PodInfo, node: core_v1.Node | None) -> str | None:
        assert self._filter is not None
        if node is None:
            return "there is no node"
        try:
            return self._filter(info.pod, node)
        except Exception as error:
            raise PluginFailed(f'running "{self.name}" filter plugin: {error}') from error

    def filter(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Bools:
        reasons = (self._reason(info, nodes.nodes[row]) for row in rows.tolist())
        return np.fromiter((not reason for reason in reasons), bool, len(rows))

    def reasons(self, info: PodInfo, nodes: NodeTable, row: int) -> list[str]:
        return [self._reason(info, nodes.nodes[row]) or self.name]

    def score(self, info: PodInfo, nodes: NodeTable, rows: Rows) -> Ints:
        assert self._score is not None
        try:
            points = [self._score(info.pod, node) if (node := nodes.nodes[row]) else 0 for row in rows.tolist()]
            return np.clip(np.array(points, np.int64), 0, 100)
        except Exception as error:
            raise PluginFailed(f'running Score plugins: plugin "{self.name}" failed with: {error}') from error


class FunctionHook(Hook):
    """Calls the functions of one plugin, by extension point."""

    def __init__(self, name: str, functions: Mapping[str, Any], waiting: Waiting) -> None:
        self.name = name
        self._functions = functions
        self._waiting = waiting

    def reserve(self, info: PodInfo, node: core_v1.Node) -> None:
        function: Reserve | None = self._functions.get("reserve")
        try:
            reason = function(info.pod, node) if function is not None else None
        except Exception as error:
            raise Rejected(self.name, f'running Reserve plugin "{self.name}": {error}') from error
        if reason:
            raise Rejected(self.name, reason)

    def unreserve(self, info: PodInfo, node: core_v1.Node) -> None:
        undo = getattr(self._functions.get("reserve"), "unreserve", None)
        if undo is None:
            return
        try:
            undo(info.pod, node)
        except Exception:
            logger.exception("unreserve of plugin %s failed for %s", self.name, info.key)

    def permit(self, info: PodInfo, node: core_v1.Node) -> Wait | None:
        function: Permit | None = self._functions.get("permit")
        try:
            verdict = function(info.pod, node, self._waiting) if function is not None else None
        except Exception as error:
            raise Rejected(self.name, f'running Permit plugin "{self.name}": {error}') from error
        if isinstance(verdict, str) and verdict:
            raise Rejected(self.name, verdict)
        return verdict if isinstance(verdict, Wait) else None

    async def pre_bind(self, info: PodInfo, node: core_v1.Node, wanted: Wanted) -> None:
        try:
            await self._call("preBind", info, node)
        except Exception as error:
            # Whatever a function of the user's own raises is the Pod's failure and nobody else's.
            raise HookFailed(str(error)) from error

    async def post_bind(self, info: PodInfo, node: core_v1.Node) -> None:
        try:
            await self._call("postBind", info, node)
        except Exception:
            # The Pod has its node; there is nothing left to take back.
            logger.exception("postBind plugin %s failed for %s", self.name, info.key)

    async def _call(self, point: str, info: PodInfo, node: core_v1.Node) -> None:
        function: PreBind | None = self._functions.get(point)
        result = function(info.pod, node) if function is not None else None
        if inspect.isawaitable(result):
            await result


def filter_plugin(name: str, function: Filter) -> Plugin:
    return FunctionPlugin(name, filter_function=function)


def score_plugin(name: str, function: Score, weight: int = 1) -> Plugin:
    return FunctionPlugin(name, score_function=function, weight=weight)


def with_functions(*plugins: Plugin) -> MakePlugins:
    """The default plugins and these."""

    def make(groups: Groups | None, volumes: Volumes | None, devices: Devices | None = None) -> Sequence[Plugin]:
        return [*default_plugins(groups, volumes, devices), *plugins]

    return make


def imported(path: str) -> Any:
    """What ``package.module:name`` names. Raises ImportError or AttributeError."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
