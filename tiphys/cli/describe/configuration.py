"""ConfigMaps, Secrets, Namespaces, ServiceAccounts."""

import base64
import binascii

from tiphys.cli.describe import parts
from tiphys.cli.describe.parts import Dict
from tiphys.cli.describe.writer import Writer
from tiphys.cli.server import Server


def config_map(w: Writer, server: Server, obj: Dict) -> None:
    parts.head(w, obj)
    _heading(w, "Data")
    for key, text in sorted((obj.get("data") or {}).items()):
        w.line(0, f"{key}:")
        w.line(0, "----")
        w.line(0, text)
        w.line(0)
    _heading(w, "BinaryData")
    for key, text in sorted((obj.get("binaryData") or {}).items()):
        w.line(0, f"{key}: {_size(text)} bytes")
    w.line(0)
    parts.events(w, server, obj)


def secret(w: Writer, server: Server, obj: Dict) -> None:
    parts.head(w, obj)
    w.line(0)
    w.line(0, "Type:", obj.get("type", ""))
    _heading(w, "Data")
    for key, text in sorted((obj.get("data") or {}).items()):
        if key == "token" and obj.get("type") == "kubernetes.io/service-account-token":
            w.line(0, f"{key}:", base64.b64decode(text).decode(errors="replace"))
        else:
            w.line(0, f"{key}:", f"{_size(text)} bytes")


def namespace(w: Writer, server: Server, obj: Dict) -> None:
    parts.head(w, obj)
    w.line(0, "Status:", (obj.get("status") or {}).get("phase", ""))
    if conditions := (obj.get("status") or {}).get("conditions"):
        w.line(0, "Conditions:")
        headers = ("Type", "Status", "LastTransitionTime", "Reason", "Message")
        rows = [
            (c["type"], c["status"], parts.time_text(c.get("lastTransitionTime")), c.get("reason"), c.get("message"))
            for c in conditions
        ]
        w.table(1, headers, rows)
    path = f"/api/v1/namespaces/{obj['metadata']['name']}"
    _quotas(w, server.get(f"{path}/resourcequotas").get("items") or [])
    _limits(w, server.get(f"{path}/limitranges").get("items") or [])


def service_account(w: Writer, server: Server, obj: Dict) -> None:
    parts.head(w, obj)
    for title, field in (("Image pull secrets", "imagePullSecrets"), ("Mountable secrets", "secrets")):
        parts.several(w, f"{title}:", [found.get("name", "") for found in obj.get(field) or ()])
    metadata = obj["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/secrets"
    secrets = server.get(path, {"fieldSelector": "type=kubernetes.io/service-account-token"}).get("items") or []
    mine = "kubernetes.io/service-account.name"
    tokens = [s["metadata"] for s in secrets]
    tokens = [found for found in tokens if (found.get("annotations") or {}).get(mine) == metadata["name"]]
    parts.several(w, "Tokens:", sorted(found["name"] for found in tokens))
    parts.events(w, server, obj)


def _heading(w: Writer, title: str) -> None:
    w.line(0)
    w.line(0, title)
    w.line(0, "====")


def _size(text: str) -> int:
    try:
        return len(base64.b64decode(text))
    except binascii.Error:
        return 0


def _quotas(w: Writer, found: list[Dict]) -> None:
    w.line(0)
    if not found:
        w.line(0, "No resource quota.")
        return
    w.line(0, "Resource Quotas")
    for number, quota in enumerate(found):
        if number:
            w.line(0)
        w.line(0, "  Name:", quota["metadata"]["name"])
        hard = (quota.get("status") or {}).get("hard") or quota.get("spec", {}).get("hard") or {}
        used = (quota.get("status") or {}).get("used") or {}
        w.line(0, "  Resource", "Used", "Hard")
        w.line(0, "  --------", "---", "---")
        for name, amount in sorted(hard.items()):
            w.line(0, f"  {name}", used.get(name, "0"), amount)


_LIMITS = ("min", "max", "defaultRequest", "default", "maxLimitRequestRatio")


def _limits(w: Writer, found: list[Dict]) -> None:
    w.line(0)
    if not found:
        w.line(0, "No LimitRange resource.")
        return
    w.line(0, "Resource Limits")
    w.line(0, " Type", "Resource", "Min", "Max", "Default Request", "Default Limit", "Max Limit/Request Ratio")
    w.line(0, " ----", "--------", "---", "---", "---------------", "-------------", "-----------------------")
    for limits in found:
        for item in limits["spec"].get("limits") or ():
            names = sorted({name for field in _LIMITS for name in item.get(field) or ()})
            for name in names:
                cells = [(item.get(field) or {}).get(name, "-") for field in _LIMITS]
                w.line(0, f" {item['type']}", name, *cells)
