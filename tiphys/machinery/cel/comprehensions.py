"""Macros' loops as Python loops. What each costs equals what its expansion would cost.

The parts of an expansion: reading the accumulator 1, ``@not_strictly_false`` 1, making a list 10, adding to one 1.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from tiphys.machinery.cel import limits, values
from tiphys.machinery.cel.ast import Fold, Node
from tiphys.machinery.cel.errors import EvaluationError
from tiphys.machinery.cel.frame import Frame

Run = Callable[[Frame], Any]
_MISSING: Final = object()
_GROW: Final = 1 + limits.LIST_BASE + 1
_NO_OVERLOAD: Final = "no such overload"


def compiled(node: Fold, compile_node: Callable[[Node], Run]) -> Run:
    if node.macro == "bind":
        return _bound(node, compile_node)
    over = compile_node(node.over)
    body = [compile_node(part) for part in node.body]
    loop = _LOOPS[node.macro](body)
    names = [name for name in (node.var, node.var2) if name]

    def run(frame: Frame) -> Any:
        ranged = over(frame)
        kept = [frame.vars.get(name, _MISSING) for name in names]
        try:
            return loop(frame, _steps(frame, ranged, names))
        finally:
            for name, value in zip(names, kept, strict=True):
                if value is _MISSING:
                    frame.vars.pop(name, None)
                else:
                    frame.vars[name] = value

    return run


def _bound(node: Fold, compile_node: Callable[[Node], Run]) -> Run:
    value, result, name = compile_node(node.init), compile_node(node.result), node.accu

    def run(frame: Frame) -> Any:
        frame.cost += limits.LIST_BASE
        kept = frame.vars.get(name, _MISSING)
        frame.vars[name] = value(frame)
        try:
            return result(frame)
        finally:
            if kept is _MISSING:
                frame.vars.pop(name, None)
            else:
                frame.vars[name] = kept

    return run


def _steps(frame: Frame, ranged: Any, names: list[str]) -> Iterator[Any]:
    """Set the variables for each item, in turn; yields what the first one is. The limit is looked at each time."""
    variables = frame.vars
    pairs: Iterator[tuple[Any, Any]]
    if isinstance(ranged, list):
        pairs = enumerate(ranged) if len(names) == 2 else ((item, None) for item in ranged)
    elif isinstance(ranged, dict):
        pairs = ((values.from_key(key), value) for key, value in ranged.items())
    else:
        raise EvaluationError(_NO_OVERLOAD)
    first = names[0]
    second = names[1] if len(names) == 2 else None
    for one, other in pairs:
        frame.charge(0)
        variables[first] = one
        if second is not None:
            variables[second] = other
        yield one


_Loop = Callable[[Frame, Iterator[Any]], Any]


def _until(stop: bool, condition_cost: int) -> Callable[[list[Run]], _Loop]:
    """``all`` and ``exists``: an error counts only if no item decides."""

    def make(body: list[Run]) -> _Loop:
        predicate = body[0]

        def loop(frame: Frame, steps: Iterator[Any]) -> bool:
            fault: EvaluationError | None = None
            for _ in steps:
                frame.cost += condition_cost + 1
                try:
                    found = predicate(frame)
                    if found is stop:
                        frame.cost += 1
                        return bool(stop)
                    if found is not (not stop):
                        fault = fault or EvaluationError(_NO_OVERLOAD)
                except EvaluationError as error:
                    fault = fault or error
            frame.cost += 1
            if fault is not None:
                raise fault
            return not stop

        return loop

    return make


def _holds(predicate: Run, frame: Frame) -> bool:
    found = predicate(frame)
    if found is True or found is False:
        return bool(found)
    raise EvaluationError(_NO_OVERLOAD)


def _exists_one(body: list[Run]) -> _Loop:
    def loop(frame: Frame, steps: Iterator[Any]) -> bool:
        count = 0
        for _ in steps:
            found = _holds(body[0], frame)
            frame.cost += 1 + found
            count += found
        frame.cost += 2
        return count == 1

    return loop


def _map(body: list[Run]) -> _Loop:
    def loop(frame: Frame, steps: Iterator[Any]) -> list[Any]:
        result: list[Any] = []
        frame.cost += limits.LIST_BASE
        for _ in steps:
            if len(body) == 2 and not _holds(body[0], frame):
                frame.cost += 1
                continue
            result.append(body[-1](frame))
            frame.cost += _GROW
        frame.charge(1)
        return result

    return loop


def _filter(body: list[Run]) -> _Loop:
    def loop(frame: Frame, steps: Iterator[Any]) -> list[Any]:
        result: list[Any] = []
        frame.cost += limits.LIST_BASE
        for item in steps:
            if _holds(body[0], frame):
                result.append(item)
                frame.cost += _GROW + 1
            else:
                frame.cost += 1
        frame.charge(1)
        return result

    return loop


def _transform(entry: bool) -> Callable[[list[Run]], _Loop]:
    """``transformMap`` (each key with a new value) and ``transformMapEntry`` (each item a map of its own)."""

    def make(body: list[Run]) -> _Loop:
        def loop(frame: Frame, steps: Iterator[Any]) -> dict[Any, Any]:
            result: dict[Any, Any] = {}
            frame.cost += limits.MAP_BASE
            for item in steps:
                if len(body) == 2 and not _holds(body[0], frame):
                    frame.cost += 1
                    continue
                found = body[-1](frame)
                frame.cost += 2 if entry else 3
                made = found if entry else {values.key_of(item): found}
                if not isinstance(made, dict):
                    raise EvaluationError(_NO_OVERLOAD)
                for key, value in made.items():
                    if key in result:
                        raise EvaluationError(f"insert failed: key {values.from_key(key)} already exists")
                    result[key] = value
            frame.charge(1)
            return result

        return loop

    return make


_LOOPS: Final[dict[str, Callable[[list[Run]], _Loop]]] = {
    "all": _until(False, 2),
    "exists": _until(True, 3),
    "exists_one": _exists_one,
    "map": _map,
    "filter": _filter,
    "transform_map": _transform(False),
    "transform_entry": _transform(True),
}
