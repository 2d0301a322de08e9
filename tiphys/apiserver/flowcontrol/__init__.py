"""API priority and fairness: which requests may run now, which wait their turn, which are refused.

Name: priority and fairness
Reads: FlowSchema, PriorityLevelConfiguration.
Writes: the objects every cluster has, and their conditions (``maintenance``).
Metrics: ``apiserver_flowcontrol_*``.
Source: KEP-1040; Kubernetes docs, "API Priority and Fairness".

Read in this order: ``matching`` (which schema), ``estimation`` (how many
seats), ``fairness`` (the queues of one level), ``borrowing`` (how levels share
the seats), ``control`` (all of it together), ``maintenance``, ``dump``,
``inflight`` (the plain bound that stands in when it is switched off).
"""

from tiphys.apiserver.flowcontrol.control import FlowControl
from tiphys.apiserver.flowcontrol.inflight import InFlight
from tiphys.apiserver.gate import Gate, Ticket

__all__ = ["FlowControl", "Gate", "InFlight", "Ticket"]
