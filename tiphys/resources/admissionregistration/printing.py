"""Cells that both kinds of policies and of bindings have."""

from datetime import datetime
from typing import Any, Final

from tiphys.machinery import selectors

UNSET: Final = "<unset>"


def param_kind(policy: Any, now: datetime) -> str:
    kind = policy.spec.paramKind
    return f"{kind.apiVersion or ''}/{kind.kind or ''}" if kind is not None else UNSET


def param_ref(binding: Any, now: datetime) -> str:
    """``namespace/name``, with a star where the Namespace is the object's, or a selector."""
    reference = binding.spec.paramRef
    if reference is None:
        return UNSET
    if reference.name:
        return f"{reference.namespace or '*'}/{reference.name}"
    if reference.selector is not None:
        try:
            return str(selectors.from_label_selector(reference.selector))
        except selectors.SelectorError:
            # Nothing that was let in; whoever prints must not fail of it.
            return UNSET
    return UNSET
