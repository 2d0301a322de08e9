"""Policies with their bindings, made anew when one of them has changed.

Nothing is compiled before a request needs it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from tiphys.apiserver.seams import Objects

GROUP: Final = "admissionregistration.k8s.io"


class Policy:
    """One policy and what is bound to it. Expressions are compiled when they are first needed."""

    def __init__(self, definition: Any, bindings: Sequence[Any], compile_spec: Callable[[Any], Any]) -> None:
        self.definition = definition
        self.bindings = bindings
        self._compile = compile_spec
        self._compiled: Any = None

    @property
    def name(self) -> str:
        return str(self.definition.metadata.name)

    @property
    def compiled(self) -> Any:
        if self._compiled is None:
            self._compiled = self._compile(self.definition.spec)
        return self._compiled

    def keep(self, other: "Policy") -> None:
        """Take over what was compiled of the same version."""
        if other.definition is self.definition or other.definition.spec == self.definition.spec:
            self._compiled = other._compiled


class Source:
    """The policies of one kind that have bindings, by name."""

    def __init__(self, objects: Objects, policies: str, bindings: str, compile_spec: Callable[[Any], Any]) -> None:
        self._objects = objects
        self._plurals = policies, bindings
        self._compile = compile_spec
        self._before: dict[str, Policy] = {}
        self._found: Sequence[Policy] | None = None
        for plural in self._plurals:
            objects.subscribe(GROUP, plural, self._changed)

    def _changed(self, new: Any, old: Any) -> None:
        self._found = None

    @property
    def policies(self) -> Sequence[Policy]:
        found = self._found
        if found is None:
            found = self._found = self._made()
        return found

    def _made(self) -> Sequence[Policy]:
        policies, bindings = self._plurals
        if not self._objects.count(GROUP, bindings):
            self._before = {}
            return ()
        bound: dict[str, list[Any]] = {}
        for binding in self._objects.all(GROUP, bindings):
            bound.setdefault(binding.spec.policyName or "", []).append(binding)
        made = [
            Policy(one, sorted(bound[one.metadata.name], key=lambda each: str(each.metadata.name)), self._compile)
            for one in self._objects.all(GROUP, policies)
            if one.metadata.name in bound
        ]
        for one in made:
            if one.name in self._before:
                one.keep(self._before[one.name])
        self._before = {one.name: one for one in made}
        return sorted(made, key=lambda one: one.name)
