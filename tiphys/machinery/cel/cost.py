"""The least and the most that an expression may cost, before it is ever run.

What Kubernetes lets into a CRD depends on these numbers. Source: cel-go's ``checker/cost.go``, by behaviour.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from tiphys.machinery.cel import calls, limits
from tiphys.machinery.cel.ast import Call, Const, Fold, Ident, ListNode, MapNode, Node, Select, StructNode
from tiphys.machinery.cel.sizes import NOTHING, ONE, UNKNOWN, ZERO, Range, fixed
from tiphys.machinery.cel.types import DYN, INT, STRING, Type

_SCALARS: Final = frozenset({"bool", "int", "uint", "double", "duration", "timestamp", "type"})
Path = tuple[str, ...]


class _Local:
    """A macro's variable: where it comes from, and what is known of its size."""

    def __init__(self, path: Path | None, size: Range | None, item: tuple[Range, Range] | None = None) -> None:
        self.path = path
        self.size = size
        self.item = item


class Coster:
    """Estimates one tree. ``roots`` are the variables whose schemas give sizes."""

    def __init__(self, roots: Mapping[str, Type]) -> None:
        self._roots = roots
        self._paths: dict[Node, Path] = {}
        self._sizes: dict[Node, Range] = {}
        #: Sizes of keys and of values of containers made in the expression.
        self._items: dict[Node, tuple[Range, Range]] = {}
        self._locals: dict[str, list[_Local]] = {}

    def cost(self, node: Node) -> Range:
        match node:
            case Ident():
                local = self._local(node.name)
                path = local.path if local else (node.name,)
                if path is not None:
                    self._paths[node] = path
                return ONE
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListNode():
                return self._list(node)
            case MapNode():
                return self._map(node)
            case StructNode():
                return self._sum(value for _, _, value, _ in node.fields).plus(fixed(limits.STRUCT_BASE))
            case Fold():
                return self._bind(node) if node.macro == "bind" else self._fold(node)
        return ZERO

    def _sum(self, nodes: Iterable[Node]) -> Range:
        total = ZERO
        for node in nodes:
            total = total.plus(self.cost(node))
        return total

    def _local(self, name: str) -> _Local | None:
        stack = self._locals.get(name)
        return stack[-1] if stack else None

    def _path(self, node: Node) -> Path | None:
        if isinstance(node, Ident):
            local = self._local(node.name)
            if local:
                return local.path
        return self._paths.get(node)

    def _select(self, node: Select) -> Range:
        if node.key[:1] == "\0":
            return ONE
        total = self.cost(node.operand)
        if node.test:
            return total
        if node.operand.type.kind in ("map", "object", "param"):
            total = total.plus(ONE)
        path = self._path(node.operand)
        if path is not None:
            self._paths[node] = (*path, node.field)
        return total

    def _list(self, node: ListNode) -> Range:
        total, item = ZERO, NOTHING if node.items else ZERO
        for one in node.items:
            total = total.plus(self.cost(one))
            item = item.union(self._known(one))
        self._items[node] = (ONE, item)
        return total.plus(fixed(limits.LIST_BASE))

    def _map(self, node: MapNode) -> Range:
        total, keys = ZERO, NOTHING if node.entries else ZERO
        items = keys
        for key, value, _ in node.entries:
            total = total.plus(self.cost(key)).plus(self.cost(value))
            keys, items = keys.union(self._known(key)), items.union(self._known(value))
        self._items[node] = (keys, items)
        return total.plus(fixed(limits.MAP_BASE))

    def _call(self, node: Call) -> Range:
        given = ([node.target] if node.target else []) + node.args
        costs = [self.cost(one) for one in given]
        total = ZERO
        for one in costs:
            total = total.plus(one)
        match node.function:
            case "dyn":
                self._copy(node, given[0])
                return total.plus(ONE)
            case "_&&_" | "_||_":
                return Range(costs[0].low, total.high)
            case "_?_:_":
                return self._conditional(node, given, costs)
            case "_[_]" | "_[?_]":
                self._index(node, given[0])
                return total.plus(ONE)
        return total.plus(self._called(node, given))

    def _called(self, node: Call, given: list[Node]) -> Range:
        arguments = [self._argument(one) for one in given]
        cost, size = NOTHING, None
        for one in node.overloads:
            found = calls.estimate(node.function, one.id, arguments)
            cost = cost.union(found.cost)
            if found.size is not None:
                size = found.size if size is None else size.union(found.size)
            if one.id == "add_list":
                self._join_items(node, given[0], given[1])
        if size is not None:
            self._sizes[node] = size
        return cost if node.overloads else ZERO

    def _argument(self, node: Node) -> calls.Argument:
        type_: Type = node.type or DYN
        item = self._item(node) if type_.kind == "list" else UNKNOWN
        constant = node.value if isinstance(node, Const) else None
        return calls.Argument(self._known(node), type_, item, constant)

    def _item(self, node: Node) -> Range:
        """The size of a list's items: as the schema says, or anything."""
        path = self._path(node)
        found = self._at((*path, "@items")) if path else None
        return Range(0, found.size) if found is not None and found.size is not None else UNKNOWN

    def _items_of(self, node: Node) -> tuple[Range, Range] | None:
        """Sizes of keys and values of a container made in the expression."""
        found = self._items.get(node)
        if found is None and isinstance(node, Ident):
            local = self._local(node.name)
            return local.item if local else None
        return found

    def _join_items(self, node: Node, one: Node, other: Node) -> None:
        first, second = self._items_of(one), self._items_of(other)
        if first and second:
            self._items[node] = first[0].union(second[0]), first[1].union(second[1])

    def _conditional(self, node: Call, given: list[Node], costs: list[Range]) -> Range:
        self._sizes[node] = self._known(given[1]).union(self._known(given[2]))
        self._join_items(node, given[1], given[2])
        return costs[0].plus(costs[1].union(costs[2]))

    def _index(self, node: Call, container: Node) -> None:
        path = self._path(container)
        if path is not None:
            self._paths[node] = (*path, "@items" if container.type.kind == "list" else "@values")
        items = self._items_of(container)
        if items:
            self._sizes[node] = items[1]

    def _fold(self, node: Fold) -> Range:
        total = self.cost(node.over).plus(self.cost(node.init))
        path = self._path(node.over)
        listed = node.over.type.kind == "list"
        items = self._items_of(node.over)
        key = _Local(path and (*path, "@indices" if listed else "@keys"), items and items[0])
        value = _Local(path and (*path, "@items" if listed else "@values"), items and items[1])
        given = [(node.accu, _Local(None, self._size(node.init), self._items_of(node.init)))]
        if node.var2:
            given += [(node.var, key), (node.var2, value)]
        else:
            given.append((node.var, value if listed else key))
        for name, local in given:
            self._locals.setdefault(name, []).append(local)
        # A body that stands inside of two loops is estimated anew for each.
        loop = self.cost(node.condition).plus(self.cost(node.step))
        for name, _ in given[1:]:
            self._locals[name].pop()
        total = total.plus(self.cost(node.result))
        self._locals[node.accu].pop()
        count = self._known(node.over)
        if isinstance(node.init, ListNode | MapNode):
            self._sizes[node] = count
            if node.step in self._items:
                self._items[node] = self._items[node.step]
        return total.plus(count.times(loop))

    def _bind(self, node: Fold) -> Range:
        total = self.cost(node.over).plus(self.cost(node.init))
        local = _Local(self._path(node.init), self._size(node.init), self._items_of(node.init))
        self._locals.setdefault(node.accu, []).append(local)
        total = total.plus(self.cost(node.body[0]))
        self._locals[node.accu].pop()
        self._copy(node, node.body[0])
        return total

    def _copy(self, node: Node, source: Node) -> None:
        size = self._size(source)
        if size is not None:
            self._sizes[node] = size
        items = self._items_of(source)
        if items:
            self._items[node] = items

    def _known(self, node: Node) -> Range:
        return self._size(node) or UNKNOWN

    def _size(self, node: Node) -> Range | None:
        """From the expression, else from the schema, else from the type."""
        if node in self._sizes:
            return self._sizes[node]
        match node:
            case Const():
                return fixed(len(node.value)) if isinstance(node.value, str | bytes) else ONE
            case ListNode():
                return fixed(len(node.items))
            case MapNode():
                return fixed(len(node.entries))
        path = self._path(node)
        found = self._at(path) if path else None
        if found is not None and found.size is not None:
            return Range(0, found.size)
        if node.type is not None and node.type.kind in _SCALARS:
            return ONE
        local = self._local(node.name) if isinstance(node, Ident) else None
        return local.size if local else None

    def _at(self, path: Path) -> Type | None:
        """The declared type at a path of names, ``@items``, ``@keys`` and ``@values``."""
        at = self._roots.get(path[0])
        for step in path[1:]:
            if at is None:
                return None
            at = _step(at, step)
        return at


def _step(type_: Type, step: str) -> Type | None:
    if step in ("@items", "@values"):
        return type_.params[-1] if type_.kind in ("list", "map") else None
    if step == "@keys":
        return STRING if type_.kind == "map" else None
    if step == "@indices":
        return INT
    if type_.kind == "map":
        return type_.params[1]
    field = type_.fields.get(step) if type_.fields is not None else None
    return field.type if field else None
