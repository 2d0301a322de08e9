"""PriorityLevelConfiguration."""

from tiphys.api import flowcontrol_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class PriorityLevelConfigurationStrategy(SpecStrategy[flowcontrol_v1.PriorityLevelConfiguration]):
    """What the main endpoint allows."""


class PriorityLevelConfigurationStatusStrategy(StatusStrategy[flowcontrol_v1.PriorityLevelConfiguration]):
    """What /status allows."""


ROW = Resource(
    group="flowcontrol.apiserver.k8s.io",
    version="v1",
    kind="PriorityLevelConfiguration",
    plural="prioritylevelconfigurations",
    cls=flowcontrol_v1.PriorityLevelConfiguration,
    strategy=PriorityLevelConfigurationStrategy(),
    namespaced=False,
    subresources=(subresources.status(PriorityLevelConfigurationStatusStrategy()),),
    columns=columns.DEFAULT_COLUMNS,
)
