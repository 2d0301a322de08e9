"""What one check says."""

from dataclasses import dataclass
from typing import Literal

State = Literal["OK", "LIMITED", "MISSING"]


@dataclass(frozen=True, slots=True)
class Finding:
    """``MISSING`` keeps a cluster from starting; ``LIMITED`` takes something away from it."""

    name: str
    state: State
    #: What was found, or what it means that it was not.
    detail: str = ""
    #: What to do, if anything can be done.
    advice: str = ""


def present(name: str, there: bool, found: str, otherwise: State, meaning: str, advice: str = "") -> Finding:
    """A check with two outcomes."""
    return Finding(name, "OK", found) if there else Finding(name, otherwise, meaning, advice)
