"""AlwaysAdmit and AlwaysDeny: for trying out, and for a server that is to be read only."""

from typing import Any, ClassVar

from tiphys.apiserver.admission.plugin import ALL, Plugin, forbidden
from tiphys.apiserver.seams import Attributes


class AlwaysAdmit(Plugin):
    name: ClassVar = "AlwaysAdmit"
    operations: ClassVar = ()


class AlwaysDeny(Plugin):
    name: ClassVar = "AlwaysDeny"
    operations: ClassVar = ("CREATE", "UPDATE", "DELETE", "CONNECT")
    resources: ClassVar = (ALL,)

    def admit(self, attributes: Attributes, obj: Any, old: Any) -> None:
        raise forbidden(attributes, obj, "admission control is denying all modifications")

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        raise forbidden(attributes, obj, "admission control is denying all modifications")
