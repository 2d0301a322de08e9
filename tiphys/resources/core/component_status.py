"""ComponentStatus: whether scheduler, controllers and store answer, asked when somebody reads. Deprecated in 1.19.

Nothing is stored; the API server answers reads itself.
"""

from datetime import datetime

from tiphys.api import core_v1
from tiphys.resources.columns import NAME
from tiphys.resources.rules import Column, Resource, Strategy


def _cells(component: core_v1.ComponentStatus) -> tuple[str, str, str]:
    for condition in component.conditions or ():
        if condition.type == "Healthy":
            status = "Healthy" if condition.status == "True" else "Unhealthy"
            return status, condition.message or "", condition.error or ""
    return "Unknown", "", ""


def _cell(index: int) -> Column:
    names = ("Status", "Message", "Error")
    words = ("Whether it is well.", "What it says.", "What is wrong.")

    def text(component: core_v1.ComponentStatus, now: datetime) -> str:
        return _cells(component)[index]

    return Column(names[index], text, description=words[index])


ROW = Resource(
    group="",
    version="v1",
    kind="ComponentStatus",
    plural="componentstatuses",
    cls=core_v1.ComponentStatus,
    strategy=Strategy(),
    namespaced=False,
    short_names=("cs",),
    verbs=("get", "list"),
    columns=(NAME, _cell(0), _cell(1), _cell(2)),
    deprecation="v1 ComponentStatus is deprecated in v1.19+",
    virtual=True,
)
