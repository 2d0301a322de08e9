"""HorizontalPodAutoscaler, v2 (stored) and v1."""

from tiphys.api import autoscaling_v2
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class HorizontalPodAutoscalerStrategy(SpecStrategy[autoscaling_v2.HorizontalPodAutoscaler]):
    """What the main endpoint allows."""


class HorizontalPodAutoscalerStatusStrategy(StatusStrategy[autoscaling_v2.HorizontalPodAutoscaler]):
    """What ``/status`` allows."""


ROW = Resource(
    group="autoscaling",
    version="v2",
    kind="HorizontalPodAutoscaler",
    plural="horizontalpodautoscalers",
    cls=autoscaling_v2.HorizontalPodAutoscaler,
    strategy=HorizontalPodAutoscalerStrategy(),
    short_names=("hpa",),
    categories=("all",),
    subresources=(subresources.status(HorizontalPodAutoscalerStatusStrategy()),),
    columns=columns.DEFAULT_COLUMNS,
)
