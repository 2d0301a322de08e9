"""Costs at run time that several libraries share. Source: apiserver's ``pkg/cel/library/cost.go``, by behaviour."""

import math
from collections.abc import Sequence
from typing import Any

from tiphys.machinery.cel.limits import STRING_FACTOR
from tiphys.machinery.cel.values import size


def text_charge(args: Sequence[Any], result: Any) -> int:
    """Reading the first argument once."""
    return math.ceil(size(args[0]) * STRING_FACTOR)


def twice_charge(args: Sequence[Any], result: Any) -> int:
    return math.ceil(size(args[0]) * 2 * STRING_FACTOR)
