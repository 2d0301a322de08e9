"""A decision in which extenders have a say. The same steps as in ``cycle``, with questions in between."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from tiphys.scheduler.classes import PodClass
from tiphys.scheduler.cycle import Placement, Refusal, chosen, explained, hopeless
from tiphys.scheduler.extenders import Extender, ExtenderError
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.plugins.interface import Rows
from tiphys.scheduler.pods import PodInfo
from tiphys.scheduler.preemption import Budgets, best


class Extenders:
    """Those of a configuration, in its order."""

    def __init__(self, extenders: Sequence[Extender]) -> None:
        self._extenders = extenders

    def of(self, info: PodInfo) -> list[Extender]:
        """Those that the Pod concerns."""
        return [extender for extender in self._extenders if extender.concerns(info)]

    def binder_of(self, info: PodInfo) -> Extender | None:
        """Who writes the Pod's binding instead of the scheduler."""
        return next((extender for extender in self.of(info) if extender.config.bind_verb), None)

    async def close(self) -> None:
        for extender in self._extenders:
            await extender.close()


async def decide_extended(
    info: PodInfo,
    pod_class: PodClass,
    nodes: NodeTable,
    budgets: Budgets,
    preempts: bool,
    extenders: Sequence[Extender],
) -> Placement | Refusal:
    """Where the Pod goes. Raises ExtenderError for an extender that may not be passed over."""
    if refusal := hopeless(info, pod_class, nodes):
        return refusal
    rows = pod_class.feasible()
    failed: Counter[str] = Counter()
    resolvable: list[int] = []
    for extender in extenders:
        if len(rows) and extender.config.filter_verb:
            rows = await _filtered(extender, info, nodes, rows, failed, resolvable)
    if not len(rows):
        refusal = explained(info, pod_class, nodes, budgets, preempts, failed, resolvable)
        return await _agreed(refusal, info, pod_class, nodes, budgets, extenders)
    totals = pod_class.totals(rows)
    for extender in extenders:
        if extender.config.prioritize_verb:
            try:
                points = await extender.points(info, [nodes.node(nodes.name(row)) for row in rows.tolist()])
            except ExtenderError:
                # Whoever only says what is best is never waited for.
                continue
            totals = totals + np.array([points.get(nodes.name(row), 0) for row in rows.tolist()], np.int64)
    return chosen(info, nodes, rows, totals)


async def _filtered(
    extender: Extender, info: PodInfo, nodes: NodeTable, rows: Rows, failed: Counter[str], resolvable: list[int]
) -> Rows:
    asked = [nodes.node(nodes.name(row)) for row in rows.tolist()]
    try:
        answer = await extender.filter(info, asked)
    except ExtenderError:
        if extender.config.ignorable:
            return rows
        raise
    failed.update(answer.unresolvable.values())
    failed.update(reason for name, reason in answer.failed.items() if name not in answer.unresolvable)
    found = nodes.rows
    resolvable += [found[name] for name in answer.failed if name not in answer.unresolvable and name in found]
    return np.array([found[name] for name in answer.kept if name in found], np.intp)


async def _agreed(
    refusal: Refusal,
    info: PodInfo,
    pod_class: PodClass,
    nodes: NodeTable,
    budgets: Budgets,
    extenders: Sequence[Extender],
) -> Refusal:
    """The refusal with an eviction that every extender with a say agrees to."""
    asked = [extender for extender in extenders if extender.config.preempt_verb]
    if refusal.eviction is None or not asked:
        return refusal
    candidates = refusal.candidates
    for extender in asked:
        try:
            candidates = tuple(await extender.evictions(info, candidates))
        except ExtenderError:
            if not extender.config.ignorable:
                raise
        if not candidates:
            return Refusal(refusal.message, refusal.plugins)
    return Refusal(refusal.message, refusal.plugins, best(candidates))
