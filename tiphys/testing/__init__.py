"""A cluster inside a test: whole, in one process, unprivileged, offline and in virtual time.

Nothing but tests and benchmarks imports this package. See docs/testing.md.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiphys.simulation.node import NodeOptions
    from tiphys.testing.cluster import Cluster
    from tiphys.testing.loop import Deadlock, VirtualLoop
    from tiphys.testing.transport import Fault

__all__ = ["Cluster", "Deadlock", "Fault", "NodeOptions", "VirtualLoop"]

_HOMES = {
    "Cluster": "tiphys.testing.cluster",
    "Deadlock": "tiphys.testing.loop",
    "Fault": "tiphys.testing.transport",
    "NodeOptions": "tiphys.simulation.node",
    "VirtualLoop": "tiphys.testing.loop",
}


def __getattr__(name: str) -> Any:
    """Late, because pytest imports our plugin, and with it this, in every run of whoever has tiphys installed."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
