"""Addresses and node ports of Services: given out, kept from others, repaired.

Read ``families`` (which families a Service has; pure), ``ranges`` (which
addresses there are; pure), ``holdings`` (who has what: IPAddress objects and
the range of node ports in the store), ``allocator`` (what the registry calls),
``repair`` (what a crash left behind; decisions pure), ``upkeep`` (when).
Source: KEP-1880 Multiple Service CIDRs, KEP-563 Dual-stack, KEP-3070 and KEP-3668 static ranges.
"""

from tiphys.apiserver.services.allocator import ServiceAllocator
from tiphys.apiserver.services.upkeep import Upkeep

__all__ = ["ServiceAllocator", "Upkeep"]
