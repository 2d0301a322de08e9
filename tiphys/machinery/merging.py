"""An applied configuration: is it well formed, and what becomes of the live object with it.

Source: structured-merge-diff, by behaviour; its messages are what clients see.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from tiphys.machinery import fieldsets
from tiphys.machinery.goformat import quote
from tiphys.machinery.structure import BadItem, Node, element_of

_KINDS: Final[Mapping[str, tuple[type, ...]]] = {"string": (str,), "numeric": (int, float), "boolean": (bool,)}
_EXPECTED: Final = {"string": "string", "numeric": "numeric (int or float)", "boolean": "boolean"}


class Misfit(ValueError):
    """The configuration does not have the shape of its kind; ``str()`` names all that is wrong."""


def check(node: Node, value: Any) -> None:
    """Raises Misfit unless ``value`` may be applied to objects of ``node``."""
    found = [f"{path}: {why}" if path else why for path, why in _problems(node, value, "")]
    if found:
        raise Misfit(found[0] if len(found) == 1 else "\n".join(["errors:", *(f"  {line}" for line in found)]))


def _problems(node: Node, value: Any, path: str) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if node.form == "deduced":
        node = node.seen(value)
    if node.form == "leaf":
        if why := _misfit(node.accepts, value):
            yield path, why
    elif node.form in ("object", "map"):
        yield from _map_problems(node, value, path)
    elif isinstance(value, list):
        yield from _list_problems(node, value, path)
    else:
        yield path, f"expected list, got {_shown(value)}"


def _map_problems(node: Node, value: Any, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        yield path, f"expected map, got {_shown(value)}"
        return
    for name, held in value.items():
        if node.form == "object" and node.item is None and name not in node.fields:
            yield f"{path}.{name}", "field not declared in schema"
        else:
            yield from _problems(node.below(name), held, f"{path}.{name}")


def _list_problems(node: Node, value: list[Any], path: str) -> Iterator[tuple[str, str]]:
    assert node.item is not None
    seen: set[str] = set()
    for index, held in enumerate(value):
        try:
            element = element_of(node, held)
        except BadItem as problem:
            yield path, f"element {index}: {problem}"
            continue
        shown = fieldsets.show((element,))
        if element in seen:
            yield path, f"duplicate entries for key {shown}"
        seen.add(element)
        yield from _problems(node.item, held, path + shown)


def _misfit(accepts: str, value: Any) -> str:
    if not accepts:
        return ""
    if accepts in ("map", "list"):
        fits = isinstance(value, dict if accepts == "map" else list)
        return "" if fits else f"expected {accepts}, got {_shown(value)}"
    fits = isinstance(value, _KINDS[accepts]) and (accepts == "boolean" or not isinstance(value, bool))
    return "" if fits else f"expected {_EXPECTED[accepts]}, got {_shown(value)}"


def _shown(value: Any) -> str:
    """A value as Kubernetes quotes it, which is how Go prints the type that holds it."""
    text = quote(value) if isinstance(value, str) else msgspec.json.encode(value).decode()
    return f"&value.valueUnstructured{{Value:{text}}}"


def merge(node: Node, live: Any, config: Any) -> Any:
    """``live`` with ``config`` on top, as plain data; None if there is nothing left. Changes neither."""
    node = node.seen(live, config)
    if node.form == "leaf" or (not live and not config):
        return live if config is None else config
    if node.form in ("object", "map"):
        merged = dict(live or {})
        for name, held in (config or {}).items():
            merged[name] = merge(node.below(name), merged[name], held) if name in merged else _fresh(node, name, held)
        return merged
    return _merge_list(node, live or [], config or []) or None


def _fresh(node: Node, name: str, value: Any) -> Any:
    """A value that has no live counterpart."""
    return value if value is None else merge(node.below(name), None, value)


def _merge_list(node: Node, live: list[Any], config: list[Any]) -> list[Any]:
    """The configuration's items in its order; live ones that it does not name keep their place among them."""
    item = node.item
    assert item is not None
    lives = [(element_of(node, held), held) for held in live]
    wanted = {element_of(node, held): held for held in config}
    there: dict[str, list[Any]] = {}
    for element, held in lives:
        there.setdefault(element, []).append(held)

    def merged(element: str) -> Any:
        # Items that share their keys have no live counterpart that could be told.
        found = there.get(element, ())
        return merge(item, found[0] if len(found) == 1 else None, wanted[element])

    shared = [element for element in wanted if element in there]
    pending = list(wanted)
    out: list[Any] = []
    done: set[str] = set()
    at = 0
    left = right = 0
    while left < len(lives) or right < len(pending):
        if left < len(lives):
            element, held = lives[left]
            if element not in wanted:
                out.append(held)
                left += 1
                continue
            if element in done:
                left += 1
                continue
            following = shared[at] if at < len(shared) else None
            if right < len(pending) and element != pending[right] and following not in (None, element):
                # Named too, but it is not the next in the configuration's order.
                left += 1
                continue
        element = pending[right]
        out.append(merged(element))
        done.add(element)
        if at < len(shared) and shared[at] == element:
            at += 1
        if left < len(lives) and lives[left][0] == element:
            left += 1
        right += 1
    return out
