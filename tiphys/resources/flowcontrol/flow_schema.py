"""FlowSchema."""

from tiphys.api import flowcontrol_v1
from tiphys.resources import columns, subresources
from tiphys.resources.rules import Resource
from tiphys.resources.strategies import SpecStrategy, StatusStrategy


class FlowSchemaStrategy(SpecStrategy[flowcontrol_v1.FlowSchema]):
    """What the main endpoint allows."""


class FlowSchemaStatusStrategy(StatusStrategy[flowcontrol_v1.FlowSchema]):
    """What /status allows."""


ROW = Resource(
    group="flowcontrol.apiserver.k8s.io",
    version="v1",
    kind="FlowSchema",
    plural="flowschemas",
    cls=flowcontrol_v1.FlowSchema,
    strategy=FlowSchemaStrategy(),
    namespaced=False,
    subresources=(subresources.status(FlowSchemaStatusStrategy()),),
    columns=columns.DEFAULT_COLUMNS,
)
