"""Limits that several parts share. Source: apiserver's ``pkg/apis/cel`` and ``pkg/cel/limits``."""

from typing import Final

#: What one expression may cost at run time.
PER_CALL_LIMIT: Final = 1_000_000
#: What all expressions of one policy, set of rules or webhook may cost together for one request.
RUNTIME_BUDGET: Final = 10_000_000
#: What all match conditions together may cost.
MATCH_CONDITIONS_BUDGET: Final = 2_500_000
#: What one rule of a CRD may cost by estimate, and all of them together.
RULE_ESTIMATE_LIMIT: Final = 10_000_000
CRD_TOTAL_LIMIT: Final = 100_000_000
MAX_MESSAGE_BYTES: Final = 5 * 1024

MAX_REQUEST_BYTES: Final = 3 * 1024 * 1024
MAX_DURATION_JSON: Final = 32
MAX_DATETIME_JSON: Final = 32
MIN_DURATION_JSON: Final = 3
DATE_JSON: Final = 12
MIN_DATETIME_JSON: Final = 21
MIN_STRING: Final = 2
MIN_BOOL: Final = 4
MIN_NUMBER: Final = 1

STRING_FACTOR: Final = 0.1
REGEX_FACTOR: Final = 0.25
LIST_BASE: Final = 10
MAP_BASE: Final = 30
STRUCT_BASE: Final = 40
