"""Containers of a Pod or of a Pod template."""

from collections.abc import Iterator
from typing import Any

from tiphys.cli.describe.parts import NONE, Dict, time_text
from tiphys.cli.describe.writer import Writer


def containers(w: Writer, title: str, found: list[Dict] | None, pod: Dict | None, statuses: Any = ()) -> None:
    """``pod`` is None for a template, which is indented and whose fields have no values yet."""
    if not found:
        return
    space, indent = ("", "") if pod else ("  ", " ")
    w.line(0, f"{space}{title}:")
    by_name = {status["name"]: status for status in statuses or ()}
    for container in found:
        w.line(1, f"{indent}{container['name']}:")
        status = by_name.get(container["name"])
        _basics(w, container, status)
        for field in ("command", "args"):
            if container.get(field):
                w.line(2, f"{field.capitalize()}:")
                for word in container[field]:
                    for line in word.split("\n"):
                        w.line(3, line)
        if status:
            _state(w, status)
        resources(w, container.get("resources") or {})
        for probe in ("liveness", "readiness", "startup"):
            if found_probe := container.get(f"{probe}Probe"):
                w.line(2, f"{probe.capitalize()}:", _probe(found_probe))
        _environment(w, container, pod)
        _mounts(w, container)


def _basics(w: Writer, container: Dict, status: Dict | None) -> None:
    if status:
        w.line(2, "Container ID:", status.get("containerID", ""))
    w.line(2, "Image:", container.get("image", ""))
    if status:
        w.line(2, "Image ID:", status.get("imageID", ""))
    ports = container.get("ports") or ()
    for title, field in (("Port", "containerPort"), ("Host Port", "hostPort")):
        text = ", ".join(f"{port.get(field, 0)}/{port.get('protocol', 'TCP')}" for port in ports)
        w.line(2, f"{title}{'s' if ', ' in text else ''}:", text or NONE)
    seccomp = (container.get("securityContext") or {}).get("seccompProfile")
    if seccomp:
        w.line(2, "SeccompProfile:", seccomp["type"])
        if seccomp.get("localhostProfile"):
            w.line(3, "LocalhostProfile:", seccomp["localhostProfile"])


def _state(w: Writer, status: Dict) -> None:
    _one_state(w, "State", status.get("state") or {})
    last = status.get("lastState") or {}
    if last.get("terminated"):
        _one_state(w, "Last State", last)
    w.line(2, "Ready:", bool(status.get("ready")))
    w.line(2, "Restart Count:", status.get("restartCount", 0))


def _one_state(w: Writer, title: str, state: Dict) -> None:
    if running := state.get("running"):
        w.line(2, f"{title}:", "Running")
        w.line(3, "Started:", _instant(running.get("startedAt")))
    elif ended := state.get("terminated"):
        w.line(2, f"{title}:", "Terminated")
        for heading, field in (("Reason", "reason"), ("Message", "message")):
            if ended.get(field):
                w.line(3, f"{heading}:", ended[field])
        w.line(3, "Exit Code:", ended.get("exitCode", 0))
        if ended.get("signal"):
            w.line(3, "Signal:", ended["signal"])
        w.line(3, "Started:", _instant(ended.get("startedAt")))
        w.line(3, "Finished:", _instant(ended.get("finishedAt")))
    else:
        w.line(2, f"{title}:", "Waiting")
        if reason := (state.get("waiting") or {}).get("reason"):
            w.line(3, "Reason:", reason)


def _instant(text: str | None) -> str:
    """A container that never started has the zero of Kubernetes' times."""
    return time_text(text) if text else "Mon, 01 Jan 0001 00:00:00 +0000"


def resources(w: Writer, found: Dict, level: int = 2) -> None:
    for field in ("limits", "requests"):
        if found.get(field):
            w.line(level, f"{field.capitalize()}:")
            for name, quantity in sorted(found[field].items()):
                w.line(level + 1, f"{name}:", quantity)


def _probe(probe: Dict) -> str:
    numbers = (
        f"delay={probe.get('initialDelaySeconds', 0)}s timeout={probe.get('timeoutSeconds', 0)}s "
        f"period={probe.get('periodSeconds', 0)}s #success={probe.get('successThreshold', 0)} "
        f"#failure={probe.get('failureThreshold', 0)}"
    )
    return f"{_action(probe)} {numbers}"


def _action(probe: Dict) -> str:
    if asked := probe.get("exec"):
        return f"exec [{' '.join(asked.get('command') or ())}]"
    if http := probe.get("httpGet"):
        path = http.get("path") or ""
        slash = "" if path.startswith("/") or not path else "/"
        return f"http-get {http.get('scheme', 'HTTP').lower()}://{http.get('host', '')}:{http['port']}{slash}{path}"
    if tcp := probe.get("tcpSocket"):
        return f"tcp-socket {tcp.get('host', '')}:{tcp['port']}"
    if grpc := probe.get("grpc"):
        return f"grpc <pod>:{grpc['port']} {grpc.get('service') or ''}"
    return "unknown"


def _environment(w: Writer, container: Dict, pod: Dict | None) -> None:
    sources = container.get("envFrom")
    if sources:
        w.line(2, "Environment Variables from:")
        for source in sources:
            kind, ref = ("ConfigMap", source.get("configMapRef")) if source.get("configMapRef") else ("Secret", None)
            ref = ref or source.get("secretRef") or {}
            prefix = f" with prefix '{source['prefix']}'" if source.get("prefix") else ""
            w.line(3, ref.get("name", ""), kind + prefix, f"Optional: {_bool(ref.get('optional'))}")
    if not container.get("env"):
        w.line(2, "Environment:", NONE)
        return
    w.line(2, "Environment:")
    for variable in container["env"]:
        first, *rest = _value(variable, container, pod)
        w.line(3, f"{variable['name']}:", *first)
        for cells in rest:
            w.line(3, "", *cells)


def _value(variable: Dict, container: Dict, pod: Dict | None) -> Iterator[tuple[str, ...]]:
    """The cells of each line beside the variable's name."""
    source = variable.get("valueFrom")
    if not source:
        yield from ((line,) for line in str(variable.get("value", "")).split("\n"))
    elif ref := source.get("fieldRef"):
        found = _field(ref["fieldPath"], pod) if pod else ""
        yield (f"{found} ({ref.get('apiVersion', 'v1')}:{ref['fieldPath']})",)
    elif ref := source.get("resourceFieldRef"):
        yield (f"{_resource(ref, container)} ({ref['resource']})",)
    elif ref := source.get("secretKeyRef"):
        text = f"<set to the key '{ref['key']}' in secret '{ref.get('name', '')}'>"
        yield text, f"Optional: {_bool(ref.get('optional'))}"
    elif ref := source.get("configMapKeyRef"):
        text = f"<set to the key '{ref['key']}' of config map '{ref.get('name', '')}'>"
        yield text, f"Optional: {_bool(ref.get('optional'))}"
    else:
        yield ("",)


def _field(path: str, pod: Dict) -> str:
    """What a path of a Pod's metadata stands for; of the rest kubectl says nothing either."""
    whole, bracket, key = path.partition("['")
    top, _, name = whole.partition(".")
    found = pod["metadata"].get(name) if top == "metadata" else None
    if bracket and isinstance(found, dict):
        found = found.get(key.removesuffix("']"))
    return "" if found is None else str(found)


def _resource(ref: Dict, container: Dict) -> str:
    field, _, name = ref["resource"].partition(".")
    found = (container.get("resources") or {}).get(field) or {}
    if name not in found:
        return "node allocatable" if field == "limits" else "0"
    from tiphys.machinery import quantity  # noqa: PLC0415  # rare

    divisor = quantity.parse(ref.get("divisor") or "0") or 1
    return str(-(-quantity.parse(found[name]) // divisor))


def _bool(value: Any) -> str:
    return str(bool(value)).lower()


def _mounts(w: Writer, container: Dict) -> None:
    mounts = sorted(container.get("volumeMounts") or (), key=lambda mount: str(mount["mountPath"]))
    if not mounts:
        w.line(2, "Mounts:", NONE)
    else:
        w.line(2, "Mounts:")
    for mount in mounts:
        flags = ["ro" if mount.get("readOnly") else "rw"]
        if mount.get("subPath"):
            flags.append(f'path="{mount["subPath"]}"')
        w.line(3, f"{mount['mountPath']} from {mount['name']} ({','.join(flags)})")
    if devices := container.get("volumeDevices"):
        w.line(2, "Devices:")
        for device in sorted(devices, key=lambda device: str(device["devicePath"])):
            w.line(3, f"{device['devicePath']} from {device['name']}")
