"""CEL as Kubernetes 1.36 uses it. Import this where an expression is met, not before.

Start with ``environment``; docs/design/cel.md shows what to call.
"""

from collections.abc import Mapping

from tiphys.machinery.cel.environment import Budget, Environment, Program
from tiphys.machinery.cel.errors import (
    BudgetExceeded,
    CompileError,
    CostExceeded,
    EvaluationError,
    Issue,
    ReturnTypeError,
)
from tiphys.machinery.cel.escaping import escape, unescape
from tiphys.machinery.cel.library.quantities import quantity_value, semver_value
from tiphys.machinery.cel.limits import (
    CRD_TOTAL_LIMIT,
    MATCH_CONDITIONS_BUDGET,
    MAX_MESSAGE_BYTES,
    PER_CALL_LIMIT,
    RULE_ESTIMATE_LIMIT,
    RUNTIME_BUDGET,
)
from tiphys.machinery.cel.schemas import schema_type
from tiphys.machinery.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    list_of,
    map_of,
    object_of,
    opaque,
    optional_of,
)
from tiphys.machinery.cel.values import Duration, Message, Optional, Timestamp, UInt

AUTHORIZER = opaque("kubernetes.authorization.Authorizer")
RESOURCE_CHECK = opaque("kubernetes.authorization.ResourceCheck")
QUANTITY = opaque("kubernetes.Quantity")
SEMVER = opaque("kubernetes.Semver")


def environment(variables: Mapping[str, Type], structs: Mapping[str, Type] | None = None) -> Environment:
    """Where expressions are compiled: variables with their types, and objects they may make."""
    return Environment(variables, structs=structs)


__all__ = [
    "AUTHORIZER",
    "BOOL",
    "BYTES",
    "CRD_TOTAL_LIMIT",
    "DOUBLE",
    "DURATION",
    "DYN",
    "INT",
    "MATCH_CONDITIONS_BUDGET",
    "MAX_MESSAGE_BYTES",
    "NULL",
    "PER_CALL_LIMIT",
    "QUANTITY",
    "RESOURCE_CHECK",
    "RULE_ESTIMATE_LIMIT",
    "RUNTIME_BUDGET",
    "SEMVER",
    "STRING",
    "TIMESTAMP",
    "UINT",
    "Budget",
    "BudgetExceeded",
    "CompileError",
    "CostExceeded",
    "Duration",
    "Environment",
    "EvaluationError",
    "Issue",
    "Message",
    "Optional",
    "Program",
    "ReturnTypeError",
    "Timestamp",
    "Type",
    "UInt",
    "environment",
    "escape",
    "list_of",
    "map_of",
    "object_of",
    "opaque",
    "optional_of",
    "quantity_value",
    "schema_type",
    "semver_value",
    "unescape",
]
