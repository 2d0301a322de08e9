"""Macros: calls that stand for a loop or a test, expanded while parsing, so that checking and cost see what they are.

Source: the CEL language definition, "Macros"; cel-go's two-variable comprehensions, by behaviour.
"""

from collections.abc import Callable
from typing import Final

from tiphys.machinery.cel.ast import Call, Const, Fold, Ident, ListNode, MapNode, Node, Select

ACCU: Final = "@result"


class MacroError(ValueError):
    def __init__(self, pos: int, message: str) -> None:
        super().__init__(message)
        self.pos = pos


class _Made:
    """Nodes at the place of the macro's call."""

    def __init__(self, pos: int) -> None:
        self.pos = pos

    def call(self, function: str, *args: Node) -> Node:
        return Call(self.pos, function, None, list(args))

    def const(self, value: object) -> Node:
        return Const(self.pos, value)

    @property
    def accu(self) -> Node:
        return Ident(self.pos, ACCU)


def _name(node: Node, message: str = "argument must be a simple name") -> str:
    if not isinstance(node, Ident):
        raise MacroError(node.pos, message)
    if node.name in (ACCU, "__result__"):
        raise MacroError(node.pos, "iteration variable overwrites accumulator variable")
    return node.name


def _names(args: list[Node], count: int) -> tuple[str, str, str]:
    first = _name(args[0])
    if count == 1:
        return first, "", ACCU
    second = _name(args[1])
    if first == second:
        raise MacroError(args[1].pos, f"duplicate variable name: {first}")
    return first, second, ACCU


def _all(pos: int, over: Node, args: list[Node], variables: int) -> Node:
    m = _Made(pos)
    parts = (
        m.const(True),
        m.call("@not_strictly_false", m.accu),
        m.call("_&&_", m.accu, args[-1]),
        m.accu,
    )
    return Fold(pos, "all", over, _names(args, variables), parts, (args[-1],))


def _exists(pos: int, over: Node, args: list[Node], variables: int) -> Node:
    m = _Made(pos)
    parts = (
        m.const(False),
        m.call("@not_strictly_false", m.call("!_", m.accu)),
        m.call("_||_", m.accu, args[-1]),
        m.accu,
    )
    return Fold(pos, "exists", over, _names(args, variables), parts, (args[-1],))


def _exists_one(pos: int, over: Node, args: list[Node], variables: int) -> Node:
    m = _Made(pos)
    step = m.call("_?_:_", args[-1], m.call("_+_", m.accu, m.const(1)), m.accu)
    parts = (m.const(0), m.const(True), step, m.call("_==_", m.accu, m.const(1)))
    return Fold(pos, "exists_one", over, _names(args, variables), parts, (args[-1],))


def _map(pos: int, over: Node, args: list[Node], variables: int) -> Node:
    """``map(x, f)``, ``map(x, condition, f)``, and the same with two variables as ``transformList``."""
    m = _Made(pos)
    step = m.call("_+_", m.accu, ListNode(pos, [args[-1]]))
    body: tuple[Node, ...] = (args[-1],)
    if len(args) == variables + 2:
        step = m.call("_?_:_", args[-2], step, m.accu)
        body = (args[-2], args[-1])
    parts = (ListNode(pos, []), m.const(True), step, m.accu)
    return Fold(pos, "map", over, _names(args, variables), parts, body)


def _filter(pos: int, over: Node, args: list[Node], variables: int) -> Node:
    m = _Made(pos)
    names = _names(args, variables)
    step = m.call("_?_:_", args[-1], m.call("_+_", m.accu, ListNode(pos, [Ident(args[0].pos, names[0])])), m.accu)
    parts = (ListNode(pos, []), m.const(True), step, m.accu)
    return Fold(pos, "filter", over, names, parts, (args[-1],))


def _transform_map(pos: int, over: Node, args: list[Node], variables: int) -> Node:
    m = _Made(pos)
    names = _names(args, variables)
    step = m.call("cel.@mapInsert", m.accu, Ident(args[0].pos, names[0]), args[-1])
    return _map_fold(m, over, args, names, "transform_map", step)


def _transform_map_entry(pos: int, over: Node, args: list[Node], variables: int) -> Node:
    m = _Made(pos)
    names = _names(args, variables)
    return _map_fold(m, over, args, names, "transform_entry", m.call("cel.@mapInsert", m.accu, args[-1]))


def _map_fold(m: _Made, over: Node, args: list[Node], names: tuple[str, str, str], macro: str, step: Node) -> Node:
    body: tuple[Node, ...] = (args[-1],)
    if len(args) == 4:
        step = m.call("_?_:_", args[-2], step, m.accu)
        body = (args[-2], args[-1])
    parts = (MapNode(m.pos, []), m.const(True), step, m.accu)
    return Fold(m.pos, macro, over, names, parts, body)


def _opt_map(pos: int, target: Node, args: list[Node], flat: bool) -> Node:
    """``o.optMap(v, f)``: f of the value if there is one; ``flat`` where f is an optional itself."""
    m = _Made(pos)
    name = _name(args[0], f"{'optFlatMap' if flat else 'optMap'}() variable name must be a simple identifier")
    value = Call(pos, "value", target, [])
    bound = Fold(
        pos,
        "bind",
        ListNode(pos, []),
        ("#unused", "", name),
        (value, m.const(False), Ident(pos, name), args[1]),
        (args[1],),
    )
    found: Node = bound if flat else m.call("optional.of", bound)
    return m.call("_?_:_", Call(pos, "hasValue", target, []), found, m.call("optional.none"))


_Expand = Callable[[int, Node, list[Node], int], Node]

#: By name and number of arguments: what expands it, and how many variables it has.
_RECEIVERS: Final[dict[tuple[str, int], tuple[_Expand, int]]] = {
    ("all", 2): (_all, 1),
    ("exists", 2): (_exists, 1),
    ("exists_one", 2): (_exists_one, 1),
    ("map", 2): (_map, 1),
    ("map", 3): (_map, 1),
    ("filter", 2): (_filter, 1),
    ("all", 3): (_all, 2),
    ("exists", 3): (_exists, 2),
    ("existsOne", 3): (_exists_one, 2),
    ("exists_one", 3): (_exists_one, 2),
    ("transformList", 3): (_map, 2),
    ("transformList", 4): (_map, 2),
    ("transformMap", 3): (_transform_map, 2),
    ("transformMap", 4): (_transform_map, 2),
    ("transformMapEntry", 3): (_transform_map_entry, 2),
    ("transformMapEntry", 4): (_transform_map_entry, 2),
    ("optMap", 2): (lambda pos, target, args, _: _opt_map(pos, target, args, False), 1),
    ("optFlatMap", 2): (lambda pos, target, args, _: _opt_map(pos, target, args, True), 1),
}


def expanded(pos: int, name: str, target: Node | None, args: list[Node]) -> Node | None:
    """What the call stands for; None if it is an ordinary one. Raises MacroError."""
    if target is None:
        if name != "has" or len(args) != 1:
            return None
        tested = args[0]
        if not isinstance(tested, Select) or tested.optional or tested.test:
            raise MacroError(tested.pos, "invalid argument to has() macro")
        return Select(pos, tested.operand, tested.field, test=True)
    found = _RECEIVERS.get((name, len(args)))
    return found[0](pos, target, args, found[1]) if found else None
