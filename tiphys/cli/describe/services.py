"""Services and the addresses behind them."""

from typing import Any

from tiphys.cli.describe import parts
from tiphys.cli.describe.parts import NONE, UNSET, Dict
from tiphys.cli.describe.writer import Writer
from tiphys.cli.server import Server

#: Addresses shown; of more only their number.
SHOWN = 3


def service(w: Writer, server: Server, obj: Dict) -> None:
    spec = obj["spec"]
    parts.head(w, obj)
    w.line(0, "Selector:", parts.labels_text(spec.get("selector")))
    w.line(0, "Type:", spec.get("type", ""))
    if spec.get("ipFamilyPolicy"):
        w.line(0, "IP Family Policy:", spec["ipFamilyPolicy"])
    w.line(0, "IP Families:", ",".join(spec.get("ipFamilies") or ()) or NONE)
    w.line(0, "IP:", spec.get("clusterIP", ""))
    w.line(0, "IPs:", ",".join(spec.get("clusterIPs") or ()) or NONE)
    if spec.get("externalIPs"):
        w.line(0, "External IPs:", ",".join(spec["externalIPs"]))
    if spec.get("loadBalancerIP"):
        w.line(0, "Desired LoadBalancer IP:", spec["loadBalancerIP"])
    if spec.get("externalName"):
        w.line(0, "External Name:", spec["externalName"])
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    if ingress:
        w.line(0, "LoadBalancer Ingress:", ", ".join(_ingress(found) for found in ingress))
    _ports(w, server, obj)
    w.line(0, "Session Affinity:", spec.get("sessionAffinity", ""))
    for title, field in (
        ("External Traffic Policy", "externalTrafficPolicy"),
        ("Internal Traffic Policy", "internalTrafficPolicy"),
        ("HealthCheck NodePort", "healthCheckNodePort"),
    ):
        if spec.get(field):
            w.line(0, f"{title}:", spec[field])
    if spec.get("loadBalancerSourceRanges"):
        w.line(0, "LoadBalancer Source Ranges:", ",".join(spec["loadBalancerSourceRanges"]))
    parts.events(w, server, obj)


def _ingress(found: Dict) -> str:
    address = found.get("ip") or found.get("hostname") or ""
    return f"{address} ({found['ipMode']})" if found.get("ipMode") else address


def _ports(w: Writer, server: Server, obj: Dict) -> None:
    metadata, spec = obj["metadata"], obj["spec"]
    path = f"/apis/discovery.k8s.io/v1/namespaces/{metadata['namespace']}/endpointslices"
    slices = server.get(path, {"labelSelector": f"kubernetes.io/service-name={metadata['name']}"}).get("items") or []
    for port in spec.get("ports") or ():
        name, protocol = port.get("name") or UNSET, port.get("protocol", "TCP")
        w.line(0, "Port:", name, f"{port['port']}/{protocol}")
        w.line(0, "TargetPort:", f"{port.get('targetPort', '')}/{protocol}")
        if port.get("nodePort"):
            w.line(0, "NodePort:", name, f"{port['nodePort']}/{protocol}")
        w.line(0, "Endpoints:", _endpoints(slices, port.get("name") or ""))


def _endpoints(slices: list[Dict], name: str) -> str:
    """Addresses that are ready behind the port ``name``."""
    if not slices:
        return NONE
    found: list[str] = []
    for piece in slices:
        for port in piece.get("ports") or ():
            if (port.get("name") or "") == name:
                found += [_at(address, port) for address in _ready(piece)]
    more = f" + {len(found) - SHOWN} more..." if len(found) > SHOWN else ""
    return ",".join(found[:SHOWN]) + more


def _ready(piece: Dict) -> list[str]:
    return [
        str(endpoint["addresses"][0])
        for endpoint in piece.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
    ]


def _at(address: str, port: dict[str, Any]) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"{host}:{port['port']}" if port.get("port") is not None else host
