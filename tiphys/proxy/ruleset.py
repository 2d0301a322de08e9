"""What is in the kernel, and transactions from there to what is desired. Pure: sends nothing.

``Ruleset`` remembers the plan of every Service that the kernel holds. An update
of some plans becomes one transaction that mentions only what differs, so its
size does not depend on how many Services there are. Two Services may want the
same element (an external address in both); the first keeps it, and when it
lets go the next one gets it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tiphys.proxy import skeleton
from tiphys.proxy.config import ProxyConfig
from tiphys.proxy.desired import Balance, Plan, RuleParts
from tiphys.wire import nftables as nft

_EMPTY = Plan()
_TARGET = (nft.IPV4, nft.PORT)
ElementKey = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Existing:
    """Names of what a table holds already, from an earlier process perhaps."""

    chains: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Difference:
    """Elements to take out and to put in."""

    removed: dict[str, list[bytes]] = field(default_factory=dict)
    added: dict[str, list[tuple[bytes, nft.Verdict | None]]] = field(default_factory=dict)


class Ruleset:
    """The rules of one node's proxy."""

    def __init__(self, config: ProxyConfig) -> None:
        self._config = config
        self._plans: dict[str, Plan] = {}
        #: Who wants an element, in order; the first one's verdict is in the kernel.
        self._claims: dict[ElementKey, dict[str, nft.Verdict | None]] = {}

    @property
    def plans(self) -> Mapping[str, Plan]:
        return self._plans

    def rebuild(self, plans: Mapping[str, Plan], existing: Existing) -> nft.Batch:
        """The transaction that makes the table hold these plans and nothing else.

        Packets see the old rules or the new ones. Clients that session affinity knows stay known.
        """
        self._plans = {}
        self._claims = {}
        batch = self._batch()
        batch.add_table()
        for spec in skeleton.SETS:
            batch.add_set(spec)
            if spec.name in existing.sets:
                batch.flush_set(spec.name)
        for base in skeleton.BASE_CHAINS:
            batch.add_base_chain(base)
        for name in skeleton.CHAINS:
            batch.add_chain(name)
        if existing.chains:
            batch.flush_rules()
        for chain, rule in skeleton.rules(self._config):
            batch.add_rule(chain, rule)
        self._write_difference(batch, plans)
        self._remove_strangers(batch, plans, existing)
        return batch

    def update(self, plans: Mapping[str, Plan | None]) -> nft.Batch:
        """The transaction for the Services whose plans changed; None removes a Service."""
        batch = self._batch()
        self._write_difference(batch, plans)
        return batch

    def _batch(self) -> nft.Batch:
        return nft.Batch(nft.NFPROTO_IPV4, self._config.table)

    def _remove_strangers(self, batch: nft.Batch, plans: Mapping[str, Plan], existing: Existing) -> None:
        known_chains = {base.name for base in skeleton.BASE_CHAINS} | set(skeleton.CHAINS)
        known_sets = {spec.name for spec in skeleton.SETS}
        for plan in plans.values():
            known_chains.update(plan.chains)
            known_sets.update(plan.sets)
        for name in sorted(existing.chains - known_chains):
            batch.delete_chain(name)
        for name in sorted(existing.sets - known_sets):
            batch.delete_set(name)

    def _write_difference(self, batch: nft.Batch, plans: Mapping[str, Plan | None]) -> None:
        """Order matters: what is referred to must exist before, and must not be referred to any more after."""
        pairs = [(self._plans.get(key, _EMPTY), plan or _EMPTY) for key, plan in plans.items()]
        for old, new in pairs:
            for name, spec in new.sets.items():
                if name not in old.sets:
                    batch.add_set(spec)
            for name in new.chains:
                if name not in old.chains:
                    batch.add_chain(name)
        for old, new in pairs:
            self._write_chains(batch, old, new)
        difference = self._claim(plans)
        for set_name, keys in difference.removed.items():
            batch.delete_elements(set_name, keys)
        for set_name, elements in difference.added.items():
            batch.add_elements(set_name, elements)
        for old, new in pairs:
            for name in old.chains:
                if name not in new.chains:
                    batch.delete_chain(name)
            for name in old.sets:
                if name not in new.sets:
                    batch.delete_set(name)
        self._remember(plans)

    def _remember(self, plans: Mapping[str, Plan | None]) -> None:
        for key, plan in plans.items():
            if plan is None:
                self._plans.pop(key, None)
            else:
                self._plans[key] = plan

    def _write_chains(self, batch: nft.Batch, old: Plan, new: Plan) -> None:
        for name, rules in old.chains.items():
            if new.chains.get(name) != rules:
                batch.flush_rules(name)
        for name, rules in new.chains.items():
            if old.chains.get(name) != rules:
                for rule in rules:
                    batch.add_rule(name, _with_maps(batch, rule))

    def _claim(self, plans: Mapping[str, Plan | None]) -> _Difference:
        touched: dict[ElementKey, tuple[bool, nft.Verdict | None]] = {}
        for key, plan in plans.items():
            old, new = self._plans.get(key, _EMPTY).elements, (plan or _EMPTY).elements
            for element in [*old, *(each for each in new if each not in old)]:
                if element in old and element in new and old[element] == new[element]:
                    continue
                claims = self._claims.setdefault(element, {})
                touched.setdefault(element, _holder(claims))
                if element in new:
                    claims[key] = new[element]
                else:
                    claims.pop(key, None)
        difference = _Difference()
        for element, before in touched.items():
            after = _holder(self._claims[element])
            if not after[0]:
                del self._claims[element]
            _compare(difference, element, before, after)
        return difference


def _holder(claims: Mapping[str, nft.Verdict | None]) -> tuple[bool, nft.Verdict | None]:
    """Whether anybody claims the element, and with what verdict."""
    for verdict in claims.values():
        return True, verdict
    return False, None


def _compare(
    difference: _Difference,
    element: ElementKey,
    before: tuple[bool, nft.Verdict | None],
    after: tuple[bool, nft.Verdict | None],
) -> None:
    if before == after:
        return
    set_name, key = element
    if before[0]:
        difference.removed.setdefault(set_name, []).append(key)
    if after[0]:
        difference.added.setdefault(set_name, []).append((key, after[1]))


def _with_maps(batch: nft.Batch, rule: RuleParts) -> nft.Rule:
    """The rule's expressions; a choice between several targets becomes a map of its own."""
    found: list[bytes] = []
    for part in rule:
        if isinstance(part, Balance):
            found.extend(_choice(batch, part))
        else:
            found.append(part)
    return tuple(found)


def _choice(batch: nft.Batch, balance: Balance) -> Iterable[bytes]:
    first = balance.targets[0]
    if len(balance.targets) == 1:
        return (nft.decide(first),) if isinstance(first, nft.Verdict) else _load(first)
    verdicts = isinstance(first, nft.Verdict)
    name, set_id = batch.add_anonymous_map(() if verdicts else _TARGET, balance.targets)
    into = nft.REG_VERDICT if verdicts else nft.REG
    return nft.random_number(len(balance.targets)), nft.lookup(name, into=into, set_id=set_id)


def _load(target: bytes) -> Iterable[bytes]:
    return nft.immediate(target[:4]), nft.immediate(target[4:6], nft.REG + 1)
