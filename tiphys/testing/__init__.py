"""A cluster inside a test: whole, in one process, unprivileged, offline and in virtual time.

Nothing but tests and benchmarks imports this package. See docs/testing.md.
"""

from tiphys.testing.cluster import Cluster
from tiphys.testing.loop import Deadlock, VirtualLoop
from tiphys.testing.node import NodeOptions
from tiphys.testing.transport import Fault

__all__ = ["Cluster", "Deadlock", "Fault", "NodeOptions", "VirtualLoop"]
