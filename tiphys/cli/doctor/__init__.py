"""``tiphys doctor``: what this machine can and cannot do, and what to do about it.

``findings.py`` is what a check says; ``machine.py``, ``containers.py`` and
``networks.py`` look at one side of the machine each and change nothing on it.
"""

from tiphys.cli.doctor.findings import Finding, State
from tiphys.cli.doctor.table import examine

__all__ = ["Finding", "State", "examine"]
