"""Where a Service answers: straight to a ready endpoint, because the server may be where no cluster IP leads anywhere.

Source: Kubernetes docs, "Dynamic Admission Control", "Service reference"; aggregator routing, by behaviour.
"""

import random
from typing import Any, Final

from tiphys.apiserver.seams import Objects
from tiphys.machinery.goformat import quote

SLICE_LABEL: Final = "kubernetes.io/service-name"


class Unresolved(Exception):
    """No place to connect to; the text is Kubernetes'."""


class Resolver:
    """Finds endpoints in the cache; among several one by chance, so that all get their part."""

    def __init__(self, objects: Objects, chance: random.Random) -> None:
        self._objects = objects
        self._chance = chance

    def endpoint(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        """Host and port. Raises Unresolved."""
        service = self._objects.find("", "services", namespace, name)
        if service is None:
            raise Unresolved(f"service {quote(name)} not found")
        if service.spec.type == "ExternalName":
            return service.spec.externalName or "", port
        entry = next((one for one in service.spec.ports or () if one.port == port), None)
        if entry is None:
            raise Unresolved(f"no service port {port} found for service {quote(name)}")
        found = self._ready(namespace, name, entry.name or "")
        if not found:
            raise Unresolved(f"no endpoints available for service {quote(name)}")
        return self._chance.choice(found)

    def _ready(self, namespace: str, name: str, port_name: str) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        for one in self._objects.all("discovery.k8s.io", "endpointslices", namespace):
            if one.metadata.labels.get(SLICE_LABEL) == name:
                found += _of_slice(one, port_name)
        return found


def _of_slice(one: Any, port_name: str) -> list[tuple[str, int]]:
    numbers = [entry.port for entry in one.ports or () if (entry.name or "") == port_name and entry.port]
    return [
        (address, number)
        for endpoint in one.endpoints or ()
        if endpoint.conditions is None or endpoint.conditions.ready is not False
        for address in endpoint.addresses
        for number in numbers
    ]
