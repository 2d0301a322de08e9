"""DenyServiceExternalIPs: nobody takes traffic for an address by naming it (CVE-2020-8554).

Source: Kubernetes docs, "Admission Control", DenyServiceExternalIPs.
"""

from typing import Any, ClassVar

from tiphys.apiserver.admission.plugin import Plugin, forbidden
from tiphys.apiserver.seams import Attributes


class DenyServiceExternalIPs(Plugin):
    name: ClassVar = "DenyServiceExternalIPs"
    resources: ClassVar = ("services",)

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        before = set((old.spec.externalIPs if old is not None else None) or ())
        if not before.issuperset(obj.spec.externalIPs or ()):
            raise forbidden(attributes, obj, "Use of external IPs is denied by admission control.")
