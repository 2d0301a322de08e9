"""Pod: ``row`` says what is served; defaults, validation, strategy and columns have a module each.

``template`` is what workloads use for the Pods they describe.
"""

from tiphys.resources.core.pod.row import ROW

__all__ = ["ROW"]
