"""Rules of a schema that are written as expressions."""

from tiphys.apiserver.extensions.strategy import Rules
from tiphys.resources.apiextensions.schema.compiled import Schema


def rules_of(schema: Schema) -> Rules | None:
    """What runs the rules of a schema; None where it has none."""
    return None
