"""How every component speaks to the API.

Read in this order:

- ``transport``: carries requests, over HTTPS or in process
- ``client``: typed calls on resources
- ``informer``, ``cache``: a local, indexed copy of a resource, kept up to date by a watch
- ``workqueue``, ``workers``: keys to reconcile, and who reconciles them
- ``expectations``: what a controller has asked for and not yet seen
- ``events``, ``recorder``: Events about objects, aggregated, written in the background
- ``leader``: one leader among several candidates

Decisions of a component do not belong here; this package only moves objects.
"""

from tiphys.client.client import Client, Page, ResourceClient
from tiphys.client.expectations import Expectations
from tiphys.client.informer import Informer, Informers
from tiphys.client.leader import LeaderElector, LeadershipLost
from tiphys.client.recorder import Recorder
from tiphys.client.transport import HttpTransport, InProcessTransport, Transport, TransportError
from tiphys.client.workers import Done, RequeueAfter, Result, TerminalError, Workers
from tiphys.client.workqueue import RateLimiter, Workqueue

__all__ = [
    "Client",
    "Done",
    "Expectations",
    "HttpTransport",
    "InProcessTransport",
    "Informer",
    "Informers",
    "LeaderElector",
    "LeadershipLost",
    "Page",
    "RateLimiter",
    "Recorder",
    "RequeueAfter",
    "ResourceClient",
    "Result",
    "TerminalError",
    "Transport",
    "TransportError",
    "Workers",
    "Workqueue",
]
