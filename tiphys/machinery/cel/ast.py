"""The tree of an expression. ``pos`` is the offset that messages about a node point at; ``type`` is the checker's."""

from typing import Any


class Node:
    __slots__ = ("pos", "type")

    def __init__(self, pos: int) -> None:
        self.pos = pos
        self.type: Any = None


class Const(Node):
    __slots__ = ("value",)

    def __init__(self, pos: int, value: Any) -> None:
        super().__init__(pos)
        self.value = value


class Ident(Node):
    __slots__ = ("name",)

    def __init__(self, pos: int, name: str) -> None:
        super().__init__(pos)
        self.name = name


class Select(Node):
    """``operand.field``; ``test`` for has(), ``optional`` for ``?.``. ``key`` is the field's name in the data."""

    __slots__ = ("field", "key", "operand", "optional", "test")

    def __init__(self, pos: int, operand: Node, field: str, test: bool = False, optional: bool = False) -> None:
        super().__init__(pos)
        self.operand = operand
        self.field = field
        self.key = field
        self.test = test
        self.optional = optional


class Call(Node):
    """``overloads`` are the ones that the checker found fitting."""

    __slots__ = ("args", "function", "overloads", "target")

    def __init__(self, pos: int, function: str, target: Node | None, args: list[Node]) -> None:
        super().__init__(pos)
        self.function = function
        self.target = target
        self.args = args
        self.overloads: list[Any] = []


class ListNode(Node):
    __slots__ = ("items", "optional")

    def __init__(self, pos: int, items: list[Node], optional: frozenset[int] = frozenset()) -> None:
        super().__init__(pos)
        self.items = items
        self.optional = optional


class MapNode(Node):
    """Entries of key, value and whether the value is optional."""

    __slots__ = ("entries",)

    def __init__(self, pos: int, entries: list[tuple[Node, Node, bool]]) -> None:
        super().__init__(pos)
        self.entries = entries


class StructNode(Node):
    """``Name{field: value}``; fields of position, name, value and whether it is optional."""

    __slots__ = ("fields", "name")

    def __init__(self, pos: int, name: str, fields: list[tuple[int, str, Node, bool]]) -> None:
        super().__init__(pos)
        self.name = name
        self.fields = fields


class Fold(Node):
    """What all macros over lists and maps become: a loop that carries a value along.

    ``macro`` and ``body`` (the macro's own arguments) let the compiler take a shorter way to the same result.
    """

    __slots__ = ("accu", "body", "condition", "init", "macro", "over", "result", "step", "var", "var2")

    def __init__(
        self,
        pos: int,
        macro: str,
        over: Node,
        names: tuple[str, str, str],
        parts: tuple[Node, Node, Node, Node],
        body: tuple[Node, ...],
    ) -> None:
        super().__init__(pos)
        self.macro = macro
        self.over = over
        self.var, self.var2, self.accu = names
        self.init, self.condition, self.step, self.result = parts
        self.body = body


def children(node: Node) -> list[Node]:
    """The nodes directly below."""
    match node:
        case Select():
            return [node.operand]
        case Call():
            return [*([node.target] if node.target else []), *node.args]
        case ListNode():
            return list(node.items)
        case MapNode():
            return [child for key, value, _ in node.entries for child in (key, value)]
        case StructNode():
            return [value for _, _, value, _ in node.fields]
        case Fold():
            return [node.over, node.init, node.condition, node.step, node.result]
    return []
