"""A checked tree to closures of a frame. What a node costs is added by its closure."""

from collections.abc import Callable
from typing import Any, Final

from tiphys.machinery.cel import comprehensions, limits, operators, values
from tiphys.machinery.cel.ast import Call, Const, Fold, Ident, ListNode, MapNode, Node, Select, StructNode
from tiphys.machinery.cel.checker import TYPE_NAMES
from tiphys.machinery.cel.errors import EvaluationError
from tiphys.machinery.cel.frame import Frame
from tiphys.machinery.cel.overloads import Overload, fits
from tiphys.machinery.cel.values import NONE, Message, Optional

Run = Callable[[Frame], Any]
_NO_OVERLOAD: Final = "no such overload"


def compiled(node: Node) -> Run:
    match node:
        case Const():
            return _constant(node.value)
        case Ident():
            return _ident(node)
        case Select():
            return _select(node)
        case Call():
            return _call(node)
        case ListNode():
            return _list(node)
        case MapNode():
            return _map(node)
        case StructNode():
            return _struct(node)
        case Fold():
            return comprehensions.compiled(node, compiled)
    raise AssertionError(node)


def _constant(value: Any) -> Run:
    return lambda frame: value


def _variable(frame: Frame, name: str) -> Any:
    try:
        return frame.vars[name]
    except KeyError:
        pass
    if name in TYPE_NAMES:
        return values.TypeValue(name)
    raise EvaluationError(f"no such attribute(s): {name}")


def _ident(node: Ident) -> Run:
    name, convert = node.name, node.type.convert
    if node.name in TYPE_NAMES and node.type.kind == "type":
        type_value = values.TypeValue(name)

        def run_type(frame: Frame) -> Any:
            frame.cost += 1
            return frame.vars.get(name, type_value)

        return run_type

    def run(frame: Frame) -> Any:
        frame.cost += 1
        try:
            return frame.vars[name]
        except KeyError:
            raise EvaluationError(f"no such attribute(s): {name}") from None

    return _converted(run, convert)


def _converted(run: Run, convert: Callable[[Any], Any] | None) -> Run:
    if convert is None:
        return run
    return lambda frame: convert(run(frame))


def selected(value: Any, key: str) -> Any:
    """``value.key``; through optionals as well."""
    if isinstance(value, dict):
        try:
            return value[key]
        except KeyError:
            raise EvaluationError(f"no such key: {key}") from None
    if type(value) is Optional:
        return _optional_selected(value.value, key) if value.present else NONE
    raise EvaluationError(_NO_OVERLOAD)


def _optional_selected(value: Any, key: str) -> Optional:
    if type(value) is Optional:
        return _optional_selected(value.value, key) if value.present else NONE
    if not isinstance(value, dict):
        raise EvaluationError(_NO_OVERLOAD)
    return Optional(True, value[key]) if has_key(value, key) else NONE


def has_key(value: dict[str, Any], key: str) -> bool:
    return key in value


def _path(node: Select) -> tuple[str, list[str]] | None:
    """Variable and keys of a plain path that nothing on its way converts."""
    keys: list[str] = []
    at: Node = node
    while isinstance(at, Select):
        if at.test or at.optional or at.key[0] == "\0" or (at is not node and at.type.convert is not None):
            return None
        keys.append(at.key)
        at = at.operand
    if isinstance(at, Ident) and at.type.convert is None and at.type.kind != "type":
        return at.name, keys[::-1]
    return None


def _select(node: Select) -> Run:
    if node.key[:1] == "\0":
        return _ident_named(node)
    if node.test:
        return _tested(node)
    if node.optional:
        return _optionally(node)
    path = _path(node)
    if path is not None:
        return _converted(_along(*path), node.type.convert)
    operand, key = compiled(node.operand), node.key

    def run(frame: Frame) -> Any:
        value = operand(frame)
        frame.cost += 1
        return selected(value, key)

    return _converted(run, node.type.convert)


def _ident_named(node: Select) -> Run:
    named = Ident(node.pos, node.key[1:])
    named.type = node.type
    return _ident(named)


def _along(name: str, keys: list[str]) -> Run:
    cost = len(keys) + 1

    def slowly(frame: Frame) -> Any:
        value = _variable(frame, name)
        for key in keys:
            value = selected(value, key)
        return value

    if len(keys) == 1:
        key = keys[0]

        def run_one(frame: Frame) -> Any:
            frame.cost += cost
            try:
                return frame.vars[name][key]
            except (KeyError, TypeError):
                return slowly(frame)

        return run_one

    def run(frame: Frame) -> Any:
        frame.cost += cost
        try:
            value = frame.vars[name]
            for key in keys:
                value = value[key]
        except (KeyError, TypeError):
            return slowly(frame)
        return value

    return run


def _tested(node: Select) -> Run:
    operand, key = compiled(node.operand), node.key

    def run(frame: Frame) -> bool:
        value = operand(frame)
        if type(value) is Optional:
            value = value.value if value.present else {}
        if not isinstance(value, dict):
            raise EvaluationError(_NO_OVERLOAD)
        return has_key(value, key)

    return run


def _optionally(node: Select) -> Run:
    operand, key = compiled(node.operand), node.key
    convert = node.type.params[0].convert if node.type.params else None

    def run(frame: Frame) -> Optional:
        value = operand(frame)
        frame.cost += 1
        found = _optional_selected(value, key)
        return Optional(True, convert(found.value)) if convert is not None and found.present else found

    return run


def _list(node: ListNode) -> Run:
    if all(isinstance(item, Const) for item in node.items) and node.items:
        constant = [item.value for item in node.items if isinstance(item, Const)]
        return lambda frame: constant
    items = [compiled(item) for item in node.items]
    optional = node.optional

    def run(frame: Frame) -> list[Any]:
        found = [item(frame) for item in items]
        frame.cost += limits.LIST_BASE
        if not optional:
            return found
        return [
            value.value if at in optional else value
            for at, value in enumerate(found)
            if at not in optional or value.present
        ]

    return run


def _map(node: MapNode) -> Run:
    entries = [(compiled(key), compiled(value), optional) for key, value, optional in node.entries]

    def run(frame: Frame) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key_of, value_of, optional in entries:
            key = values.key_of(key_of(frame))
            if key in found:
                raise EvaluationError(f"duplicate key in map: {operators.shown(values.from_key(key))}")
            value = value_of(frame)
            if not optional:
                found[key] = value
            elif value.present:
                found[key] = value.value
        frame.cost += limits.MAP_BASE
        return found

    return run


def _struct(node: StructNode) -> Run:
    known = node.type.fields if node.type.fields is not None else {}
    fields = [(known[name].key, compiled(value), optional) for _, name, value, optional in node.fields]
    name = node.type.name

    def run(frame: Frame) -> Message:
        found: dict[str, Any] = {}
        for key, value_of, optional in fields:
            value = value_of(frame)
            if not optional:
                found[key] = value
            elif value.present:
                found[key] = value.value
        frame.cost += limits.STRUCT_BASE
        return Message(name, found)

    return run


def _call(node: Call) -> Run:
    special = operators.SPECIAL.get(node.function)
    arguments = [compiled(arg) for arg in ([node.target] if node.target else []) + node.args]
    if special is not None:
        made: Run = special(node, arguments)
        return made
    if len(node.overloads) == 1:
        return _direct(node.overloads[0], arguments)
    return _dispatched(node.overloads, arguments)


def _accept(value: Any) -> bool:
    return True


def _direct(one: Overload, arguments: list[Run]) -> Run:
    """One overload fits. Values are looked at all the same: what was dyn once can be anything."""
    implementation, charge = one.implementation, one.charge
    checks = [fits(param) or _accept for param in one.params]
    if charge is None and len(arguments) == 1:
        argument, check = arguments[0], checks[0]

        def run_one(frame: Frame) -> Any:
            value = argument(frame)
            frame.cost += 1
            if check(value):
                return implementation(value)
            raise EvaluationError(_NO_OVERLOAD)

        return run_one
    if charge is None and len(arguments) == 2 and one.result.kind != "list":
        first, second = arguments
        check_first, check_second = checks

        def run_two(frame: Frame) -> Any:
            given, other = first(frame), second(frame)
            frame.cost += 1
            if check_first(given) and check_second(other):
                return implementation(given, other)
            raise EvaluationError(_NO_OVERLOAD)

        return run_two
    return _dispatched([one], arguments)


def called(one: Overload, frame: Frame, given: list[Any]) -> Any:
    result = one.implementation(*given)
    frame.charge(1 if one.charge is None else one.charge(given, result))
    if isinstance(result, list):
        frame.toil(len(result))
    elif type(result) is str:
        # Characters are copied much faster than items.
        frame.toil(len(result) >> 4)
    return result


def _dispatched(overloads: list[Overload], arguments: list[Run]) -> Run:
    """Which overload it is shows in the values."""
    candidates: Final = [(one, [fits(param) for param in one.params]) for one in overloads]

    def run(frame: Frame) -> Any:
        given = [argument(frame) for argument in arguments]
        for one, checks in candidates:
            if all(check is None or check(value) for check, value in zip(checks, given, strict=True)):
                return called(one, frame, given)
        raise EvaluationError(_NO_OVERLOAD)

    return run
