"""Types of all nodes of a tree, and everything that is wrong with them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tiphys.machinery.cel import types
from tiphys.machinery.cel.ast import Call, Const, Fold, Ident, ListNode, MapNode, Node, Select, StructNode
from tiphys.machinery.cel.errors import CompileError, Issue, place
from tiphys.machinery.cel.overloads import Functions, Overload
from tiphys.machinery.cel.parser import qualified_name
from tiphys.machinery.cel.types import Type
from tiphys.machinery.cel.values import UInt

_CONSTANTS: Final[dict[type, Type]] = {
    bool: types.BOOL,
    int: types.INT,
    UInt: types.UINT,
    float: types.DOUBLE,
    str: types.STRING,
    bytes: types.BYTES,
    type(None): types.NULL,
}

#: Types that can be named in an expression.
_NAMED: Final[dict[str, Type]] = {
    "bool": types.BOOL,
    "int": types.INT,
    "uint": types.UINT,
    "double": types.DOUBLE,
    "string": types.STRING,
    "bytes": types.BYTES,
    "null_type": types.NULL,
    "list": types.list_of(types.DYN),
    "map": types.map_of(types.DYN, types.DYN),
    "type": types.TYPE,
    "google.protobuf.Duration": types.DURATION,
    "google.protobuf.Timestamp": types.TIMESTAMP,
    "optional_type": types.optional_of(types.DYN),
    "net.IP": types.opaque("net.IP"),
    "net.CIDR": types.opaque("net.CIDR"),
    "kubernetes.Quantity": types.opaque("kubernetes.Quantity"),
    "kubernetes.Semver": types.opaque("kubernetes.Semver"),
    "kubernetes.URL": types.opaque("kubernetes.URL"),
    "kubernetes.NamedFormat": types.opaque("kubernetes.NamedFormat"),
}
TYPE_NAMES: Final = frozenset(_NAMED)


class Checker:
    """Checks one tree. ``structs`` are object types that an expression may make, by name."""

    def __init__(
        self, source: str, variables: Mapping[str, Type], functions: Functions, structs: Mapping[str, Type]
    ) -> None:
        self._source = source
        self._scopes: list[Mapping[str, Type]] = [variables]
        self._functions = functions
        self._structs = structs
        self._bindings: types.Bindings = {}
        self._fresh = 0
        self.issues: list[Issue] = []
        self._visited: list[Node] = []

    def run(self, node: Node) -> None:
        """Give every node its type. Raises CompileError."""
        self._check(node)
        if self.issues:
            # What stands in two places of what a macro became is found twice.
            ordered = sorted(dict.fromkeys(self.issues), key=lambda issue: issue[:2])
            raise CompileError(self._source, ordered)
        for visited in self._visited:
            visited.type = types.substitute(self._bindings, visited.type, free_to_dyn=True)

    def _fault(self, node: Node | int, message: str) -> None:
        offset = node if isinstance(node, int) else node.pos
        self.issues.append(Issue(*place(self._source, offset), message))

    def _check(self, node: Node) -> Type:
        match node:
            case Const():
                found = _CONSTANTS[type(node.value)]
            case Ident():
                found = self._ident(node)
            case Select():
                found = self._select(node)
            case Call():
                found = self._call(node)
            case ListNode():
                found = self._list(node)
            case MapNode():
                found = self._map(node)
            case StructNode():
                found = self._struct(node)
            case Fold():
                found = self._fold(node)
            case _:
                raise AssertionError(node)
        node.type = found
        self._visited.append(node)
        return found

    def _lookup(self, name: str) -> Type | None:
        for scope in reversed(self._scopes):
            found = scope.get(name)
            if found is not None:
                return found
        named = _NAMED.get(name)
        return types.type_of(named) if named is not None else None

    def _ident(self, node: Ident) -> Type:
        found = self._lookup(node.name)
        if found is None:
            self._fault(node, f"undeclared reference to '{node.name}' (in container '')")
            return types.ERROR
        return found

    def _select(self, node: Select) -> Type:
        name = qualified_name(node)
        if name and not self._is_local(name):
            found = self._lookup(name)
            if found is not None:
                node.key = "\0" + name
                return found
        operand = types.substitute(self._bindings, self._check(node.operand))
        target = operand
        if types.is_optional(operand):
            target = types.substitute(self._bindings, operand.params[0])
        found = self._field_type(node, target)
        if node.test:
            return types.BOOL
        return types.optional_of(found) if node.optional or types.is_optional(operand) else found

    def _is_local(self, name: str) -> bool:
        """Whether the first part of a dotted name is a variable of a macro, which hides everything longer."""
        head = name.split(".", 1)[0]
        return any(head in scope for scope in self._scopes[1:])

    def _field_type(self, node: Select, target: Type) -> Type:
        match target.kind:
            case "dyn" | "error" | "param":
                return types.DYN
            case "map":
                return target.params[1]
            case "object":
                assert target.fields is not None
                field = target.fields.get(node.field)
                if field is None:
                    self._fault(node, f"undefined field '{node.field}'")
                    return types.ERROR
                node.key = field.key
                return field.type
        self._fault(node, f"type '{target}' does not support field selection")
        return types.ERROR

    def _call(self, node: Call) -> Type:
        arguments = [self._check(arg) for arg in node.args]
        if node.target is None:
            if node.function not in self._functions:
                self._fault(node, f"undeclared reference to '{node.function}' (in container '')")
                return types.ERROR
            return self._resolve(node, self._functions[node.function], arguments, False)
        name = qualified_name(node.target)
        if name and f"{name}.{node.function}" in self._functions:
            node.function, node.target = f"{name}.{node.function}", None
            return self._resolve(node, self._functions[node.function], arguments, False)
        arguments.insert(0, self._check(node.target))
        if node.function not in self._functions:
            self._fault(node, f"undeclared reference to '{node.function}' (in container '')")
            return types.ERROR
        return self._resolve(node, self._functions[node.function], arguments, True)

    def _resolve(self, node: Call, found: Sequence[Overload], arguments: list[Type], member: bool) -> Type:
        result: Type | None = None
        # A node may stand in two places of what a macro became.
        node.overloads = []
        for one in found:
            if one.member is not member or len(one.params) != len(arguments):
                continue
            fitting = self._fitting(one, arguments)
            if fitting is None:
                continue
            node.overloads.append(one)
            if result is None:
                result = fitting
            elif result.kind != "dyn" and result != fitting:
                result = types.DYN
        if result is not None:
            return result
        shown = [str(types.substitute(self._bindings, type_, True)) for type_ in arguments]
        text = f"{shown[0]}.({', '.join(shown[1:])})" if member else f"({', '.join(shown)})"
        self._fault(node, f"found no matching overload for '{node.function}' applied to '{text}'")
        return types.ERROR

    def _fitting(self, one: Overload, arguments: Sequence[Type]) -> Type | None:
        """The result's type if the arguments fit; what they bind stays bound."""
        params, result = one.params, one.result
        if one.generic:
            self._fresh += 1
            suffix = f"#{self._fresh}"
            params = tuple(types.renamed(param, suffix) for param in params)
            result = types.renamed(result, suffix)
        tried = dict(self._bindings)
        if not all(types.assignable(tried, given, wanted) for given, wanted in zip(arguments, params, strict=True)):
            return None
        self._bindings = tried
        return types.substitute(tried, result)

    def _free(self) -> Type:
        self._fresh += 1
        return Type("param", f"_var{self._fresh}")

    def _join(self, node: Node, previous: Type | None, current: Type) -> Type:
        """All items of a list and all keys and values of a map have one type."""
        if previous is None:
            return current
        if not types.assignable(self._bindings, previous, current):
            self._mismatch(node, previous, current)
            return previous
        return types.most_general(previous, current)

    def _mismatch(self, node: Node | int, wanted: Type, given: Type) -> None:
        shown = [types.substitute(self._bindings, type_, True) for type_ in (wanted, given)]
        self._fault(node, f"expected type '{shown[0]}' but found '{shown[1]}'")

    def _unwrapped(self, node: Node, type_: Type, optional: bool) -> Type:
        if not optional or is_unknown(type_):
            return type_
        if types.is_optional(type_):
            return type_.params[0]
        self._mismatch(node, types.optional_of(type_), type_)
        return type_

    def _list(self, node: ListNode) -> Type:
        element: Type | None = None
        for at, item in enumerate(node.items):
            given = self._unwrapped(item, self._check(item), at in node.optional)
            element = self._join(item, element, given)
        return types.list_of(element or self._free())

    def _map(self, node: MapNode) -> Type:
        key_type: Type | None = None
        value_type: Type | None = None
        for key, value, optional in node.entries:
            key_type = self._join(key, key_type, self._check(key))
            value_type = self._join(value, value_type, self._unwrapped(value, self._check(value), optional))
        return types.map_of(key_type or self._free(), value_type or self._free())

    def _struct(self, node: StructNode) -> Type:
        found = self._structs.get(node.name)
        if found is None:
            self._fault(node, f"undeclared reference to '{node.name}' (in container '')")
        for pos, name, value, optional in node.fields:
            given = self._unwrapped(value, self._check(value), optional)
            if found is None or found.fields is None:
                continue
            field = found.fields.get(name)
            if field is None:
                self._fault(pos, f"undefined field '{name}'")
            elif not types.assignable(self._bindings, given, field.type):
                self._fault(pos, f"expected type of field '{name}' is '{field.type}' but provided type is '{given}'")
        return found or types.ERROR

    def _fold(self, node: Fold) -> Type:
        over = types.substitute(self._bindings, self._check(node.over))
        accu = self._check(node.init)
        first, second = self._variables(node, over)
        self._scopes.append({node.accu: accu})
        self._scopes.append({node.var: first, **({node.var2: second} if node.var2 else {})})
        self._assert(node.condition, types.BOOL)
        self._assert(node.step, accu)
        self._scopes.pop()
        result = self._check(node.result)
        self._scopes.pop()
        # The arguments as the macro's caller wrote them are parts of the step, checked with it.
        return types.substitute(self._bindings, result)

    def _variables(self, node: Fold, over: Type) -> tuple[Type, Type]:
        match over.kind:
            case "list":
                return (types.INT, over.params[0]) if node.var2 else (over.params[0], types.ERROR)
            case "map":
                return over.params[0], over.params[1]
            case "dyn" | "error" | "param":
                return types.DYN, types.DYN
        message = f"expression of type '{over}' cannot be range of a comprehension (must be list, map, or dynamic)"
        self._fault(node.over, message)
        return types.ERROR, types.ERROR

    def _assert(self, node: Node, wanted: Type) -> None:
        given = self._check(node)
        if not types.assignable(self._bindings, wanted, given):
            self._mismatch(node, wanted, given)


def is_unknown(type_: Type) -> Any:
    return type_.kind in ("dyn", "error", "param")
