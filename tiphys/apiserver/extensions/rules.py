"""Rules of a schema that are written as expressions, run over custom objects."""

from tiphys.apiserver.extensions.strategy import Rules
from tiphys.machinery.custom import CustomObject
from tiphys.machinery.fields import FieldError
from tiphys.resources.apiextensions.schema import expressions
from tiphys.resources.apiextensions.schema.compiled import Schema


class Expressions:
    """See ``strategy.Rules``."""

    def __init__(self, tree: expressions.Tree) -> None:
        self._tree = tree

    def problems(self, obj: CustomObject, old: CustomObject | None) -> list[FieldError]:
        return expressions.run(self._tree, obj.plain(), old.plain() if old is not None else None)


def rules_of(schema: Schema) -> Rules | None:
    """What runs the rules of a schema; None where it has none."""
    tree = expressions.tree(schema.props)
    return Expressions(tree) if tree is not None else None
