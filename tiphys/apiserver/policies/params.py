"""Parameters of a binding. Source: Kubernetes docs, "Validating Admission Policy", "Parameter resources"."""

from collections.abc import Sequence
from typing import Any

from tiphys.apiserver.admission.plugin import Tools
from tiphys.machinery import codec, selectors
from tiphys.resources.rules import Resource


class ConfigurationError(Exception):
    """The policy or binding cannot be used as it is; its failure policy decides. ``of_binding``: whose fault it is."""

    def __init__(self, why: str, *, of_binding: bool = True) -> None:
        whose = "binding" if of_binding else "policy"
        super().__init__(f"failed to configure {whose}: {why}")
        self.of_binding = of_binding


def row_of(kind: Any, tools: Tools) -> Resource:
    """What serves a paramKind. Raises ConfigurationError."""
    group, _, version = (kind.apiVersion or "").rpartition("/")
    for one in tools.catalog.served(group, version):
        if one.row.kind == kind.kind:
            return one.row
    why = f"failed to find resource referenced by paramKind: '{kind.apiVersion}, Kind={kind.kind}'"
    raise ConfigurationError(why, of_binding=False)


def collected(spec: Any, ref: Any, namespace: str, tools: Tools) -> list[Any]:
    """Parameters as builtins, one evaluation for each; ``[None]`` if the policy takes none or the binding gives none.

    ``spec`` is the policy's, ``ref`` the binding's paramRef. Raises ConfigurationError.
    """
    if spec.paramKind is None:
        return [None]
    row = row_of(spec.paramKind, tools)
    if ref is None:
        return [None]
    if ref.namespace and not row.namespaced:
        raise ConfigurationError("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
    where = (ref.namespace or namespace) if row.namespaced else ""
    if row.namespaced and not where:
        raise ConfigurationError(
            "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
        )
    found = _named(row, where, ref, tools) if ref.name else _selected(row, where, ref, tools)
    if not found and ref.parameterNotFoundAction == "Deny":
        raise ConfigurationError("no params found for policy binding with `Deny` parameterNotFoundAction")
    return [codec.decode_builtins(codec.encode(_shown(one, row))) for one in found]


def _named(row: Resource, namespace: str, ref: Any, tools: Tools) -> list[Any]:
    found = tools.objects.find(row.group, row.plural, namespace, ref.name)
    return [found] if found is not None else []


def _selected(row: Resource, namespace: str, ref: Any, tools: Tools) -> Sequence[Any]:
    selector = selectors.from_label_selector(ref.selector)
    return [one for one in tools.objects.all(row.group, row.plural, namespace) if selector.matches(one.metadata.labels)]


def _shown(obj: Any, row: Resource) -> Any:
    """A stored object in the version that the policy names."""
    return row.from_storage(codec.copy(obj)) if row.from_storage is not None else obj
