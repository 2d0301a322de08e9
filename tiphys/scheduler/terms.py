"""Terms of Pod affinity: which Pods they speak of, and how many such Pods each node has.

Two kinds of columns are kept as Pods come and go. A *selecting* column counts the
Pods that all of some terms match; it begins when a Pod to be scheduled asks for it.
A *carried* column counts the Pods that bear one term themselves; it is what makes
anti-affinity symmetric and lets preferences of Pods that run already weigh.
Source: Kubernetes docs, "Assigning Pods to Nodes", "Inter-pod affinity and anti-affinity"; KEP-3633.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tiphys.api import core_v1
from tiphys.machinery import codec, selectors
from tiphys.machinery.selectors import Requirement, Selector
from tiphys.scheduler.pods import PodInfo

Ints = npt.NDArray[np.int64]
Kind = Literal["required", "forbidden", "preferred"]
TERMS_MAX = 4096


@dataclass(frozen=True, slots=True)
class Term:
    """Pods of some namespaces that a selector matches, seen per value of a node label."""

    key: str
    namespaces: frozenset[str]
    namespace_selector: Selector | None
    selector: Selector

    def matches(self, info: PodInfo, labels_of: Callable[[str], Mapping[str, str]]) -> bool:
        if info.namespace not in self.namespaces and (
            self.namespace_selector is None or not self.namespace_selector.matches(labels_of(info.namespace))
        ):
            return False
        return self.selector.matches(info.labels)


@dataclass(frozen=True, slots=True)
class Carried:
    """A term as a Pod bears it; ``weight`` is negative where Pods are to be avoided."""

    kind: Kind
    term: Term
    weight: int = 0


@dataclass(frozen=True, slots=True)
class PodTerms:
    """All terms of a Pod."""

    required: tuple[Term, ...] = ()
    forbidden: tuple[Term, ...] = ()
    preferred: tuple[tuple[int, Term], ...] = ()

    def carried(self) -> tuple[Carried, ...]:
        return (
            *(Carried("required", term) for term in self.required),
            *(Carried("forbidden", term) for term in self.forbidden),
            *(Carried("preferred", term, weight) for weight, term in self.preferred),
        )


NONE = PodTerms()


def _term(term: core_v1.PodAffinityTerm, info: PodInfo) -> Term:
    selector = selectors.from_label_selector(term.labelSelector)
    more = [
        Requirement(key, operator, (info.labels[key],))
        for operator, keys in (("in", term.matchLabelKeys), ("notin", term.mismatchLabelKeys))
        for key in keys or ()
        if key in info.labels
    ]
    if more:
        selector = Selector(dict.fromkeys([*selector.requirements, *more]), selector.nothing)
    names = list(term.namespaces or ())
    if not names and term.namespaceSelector is None:
        names = [info.namespace]
    elsewhere = None if term.namespaceSelector is None else selectors.from_label_selector(term.namespaceSelector)
    return Term(term.topologyKey, frozenset(names), elsewhere, selector)


def parsed(info: PodInfo) -> PodTerms:
    affinity = info.pod.spec.affinity
    if affinity is None or (affinity.podAffinity is None and affinity.podAntiAffinity is None):
        return NONE
    near, apart = affinity.podAffinity, affinity.podAntiAffinity
    preferred = [(1, near.preferredDuringSchedulingIgnoredDuringExecution)] if near else []
    preferred += [(-1, apart.preferredDuringSchedulingIgnoredDuringExecution)] if apart else []
    return PodTerms(
        tuple(_term(t, info) for t in (near and near.requiredDuringSchedulingIgnoredDuringExecution) or ()),
        tuple(_term(t, info) for t in (apart and apart.requiredDuringSchedulingIgnoredDuringExecution) or ()),
        tuple(
            (sign * (t.weight or 0), _term(t.podAffinityTerm, info)) for sign, terms in preferred for t in terms or ()
        ),
    )


class TermIndex:
    """See the module. ``epoch`` changes when all columns have to be asked for again."""

    def __init__(self) -> None:
        self.epoch = 0
        #: Every term borne so far, in order of appearance, so that a reader needs to look at new ones alone.
        self.carried: list[tuple[Carried, Ints]] = []
        self._carried: dict[Carried, int] = {}
        self._selecting: dict[tuple[Term, ...], Ints] = {}
        self._parsed: dict[tuple[str, bytes, bytes], tuple[PodTerms, tuple[Carried, ...]]] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._height = 0
        #: Labels that any carried term looks at.
        self.label_keys: set[str] = set()

    def labels_of(self, namespace: str) -> Mapping[str, str]:
        return self._namespaces.get(namespace, {})

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """Labels of a namespace, or None if it is gone."""
        if self._namespaces.get(name) == labels:
            return
        if labels is None:
            self._namespaces.pop(name)
        else:
            self._namespaces[name] = labels
        # What a namespaceSelector matches may be different now. Labels of namespaces rarely change.
        self._selecting.clear()
        self.epoch += 1

    def of(self, info: PodInfo) -> PodTerms:
        """A Pod's terms; equal Pods share them."""
        return self._of(info)[0]

    def _of(self, info: PodInfo) -> tuple[PodTerms, tuple[Carried, ...]]:
        affinity = info.pod.spec.affinity
        if affinity is None or (affinity.podAffinity is None and affinity.podAntiAffinity is None):
            return NONE, ()
        text = codec.encode([affinity.podAffinity, affinity.podAntiAffinity])
        labels = codec.encode(info.labels) if b"atchLabelKeys" in text else b""
        key = (info.namespace, text, labels)
        found = self._parsed.get(key)
        if found is None:
            if len(self._parsed) >= TERMS_MAX:
                self._parsed.clear()
            terms = parsed(info)
            found = self._parsed[key] = (terms, terms.carried())
        return found

    def selecting(self, terms: tuple[Term, ...], placed: Iterable[tuple[PodInfo, int]]) -> Ints:
        """How many of the Pods that all of ``terms`` match each row has."""
        column = self._selecting.get(terms)
        if column is None:
            column = self._selecting[terms] = np.zeros(self._height, np.int64)
            for info, row in placed:
                if all(term.matches(info, self.labels_of) for term in terms):
                    column[row] += 1
        return column

    def account(self, info: PodInfo, row: int, sign: int) -> None:
        for terms, column in self._selecting.items():
            if all(term.matches(info, self.labels_of) for term in terms):
                column[row] += sign
        for carried in self._of(info)[1]:
            self._carried_column(carried)[row] += sign

    def _carried_column(self, carried: Carried) -> Ints:
        number = self._carried.get(carried)
        if number is None:
            if len(self.carried) >= TERMS_MAX:
                self._forget_unused()
            number = self._carried[carried] = len(self.carried)
            self.carried.append((carried, np.zeros(self._height, np.int64)))
            self.label_keys.update(requirement.key for requirement in carried.term.selector.requirements)
        return self.carried[number][1]

    def _forget_unused(self) -> None:
        self.carried = [(carried, column) for carried, column in self.carried if column.any()]
        self._carried = {carried: number for number, (carried, _) in enumerate(self.carried)}
        self.epoch += 1

    def clear_row(self, row: int) -> None:
        for column in (*self._selecting.values(), *(column for _, column in self.carried)):
            column[row] = 0

    def grow(self, height: int) -> None:
        def grown(column: Ints) -> Ints:
            made = np.zeros(height, np.int64)
            made[: len(column)] = column
            return made

        self._height = height
        self._selecting = {terms: grown(column) for terms, column in self._selecting.items()}
        self.carried = [(carried, grown(column)) for carried, column in self.carried]
        self.epoch += 1
