"""A container's environment variables, from its spec, the objects it names and the services around it.

Source: Kubernetes docs, "Define Environment Variables for a Container", "Service", "Environment variables".
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from tiphys.api import core_v1
from tiphys.kubelet import downward, restart
from tiphys.kubelet.expansion import expand


class ConfigError(Exception):
    """The container cannot be configured; the text is for its status and an Event."""


class Sources(Protocol):
    """ConfigMaps and Secrets of the Pod's namespace; None for one that does not exist."""

    def config_map(self, name: str) -> core_v1.ConfigMap | None: ...

    def secret(self, name: str) -> core_v1.Secret | None: ...


def environment(
    itself: downward.Itself,
    container: restart.AnyContainer,
    sources: Sources,
    services: Mapping[str, str],
) -> dict[str, str]:
    """Name to value, in order of definition, services last. Raises ConfigError."""
    result: dict[str, str] = {}
    for source in container.envFrom or ():
        prefix = source.prefix or ""
        result.update({prefix + key: text for key, text in _whole(itself.pod, source, sources).items()})
    for variable in container.env or ():
        text = variable.value or ""
        if text:
            text = expand(text, _Chain(result, services))
        elif variable.valueFrom is not None:
            found = _from(itself, container, variable.valueFrom, sources)
            if found is None:
                continue
            text = found
        result.pop(variable.name, None)
        result[variable.name] = text
    for name, text in services.items():
        result.setdefault(name, text)
    return result


class _Chain(Mapping[str, str]):
    """Own variables before those of services."""

    def __init__(self, first: Mapping[str, str], second: Mapping[str, str]) -> None:
        self._maps = (first, second)

    def __getitem__(self, name: str) -> str:
        return self._maps[0][name] if name in self._maps[0] else self._maps[1][name]

    def __iter__(self) -> "Iterable[str]":  # type: ignore[override]  # names in any order
        return iter({*self._maps[0], *self._maps[1]})

    def __len__(self) -> int:
        return len({*self._maps[0], *self._maps[1]})


def _whole(pod: core_v1.Pod, source: core_v1.EnvFromSource, sources: Sources) -> Mapping[str, str]:
    if (map_ref := source.configMapRef) is not None:
        config_map = sources.config_map(map_ref.name or "")
        if config_map is None:
            if map_ref.optional:
                return {}
            raise ConfigError(f'configmap "{map_ref.name}" not found')
        return {key: text for key, text in (config_map.data or {}).items() if _is_name(key)}
    if (secret_ref := source.secretRef) is not None:
        secret = sources.secret(secret_ref.name or "")
        if secret is None:
            if secret_ref.optional:
                return {}
            raise ConfigError(f'secret "{secret_ref.name}" not found')
        return {key: _text(data) for key, data in (secret.data or {}).items() if _is_name(key)}
    return {}


def _is_name(key: str) -> bool:
    """Source: KEP-4369 Allow almost all printable ASCII characters in environment variables."""
    return bool(key) and all(" " <= char <= "~" and char != "=" for char in key)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _from(
    itself: downward.Itself, container: restart.AnyContainer, source: core_v1.EnvVarSource, sources: Sources
) -> str | None:
    """The text; None for something optional that is missing."""
    meta = itself.pod.metadata
    try:
        if source.fieldRef is not None:
            return downward.field_text(itself, source.fieldRef.fieldPath)
        if source.resourceFieldRef is not None:
            return downward.resource_text(itself, source.resourceFieldRef, container.name)
    except downward.FieldUnknown as error:
        raise ConfigError(str(error)) from error
    if (key_ref := source.configMapKeyRef) is not None:
        config_map = sources.config_map(key_ref.name or "")
        if config_map is None:
            return _missing(key_ref.optional, f'configmap "{key_ref.name}" not found')
        found = (config_map.data or {}).get(key_ref.key)
        if found is None:
            where = f"ConfigMap {meta.namespace}/{key_ref.name}"
            return _missing(key_ref.optional, f"couldn't find key {key_ref.key} in {where}")
        return found
    if (secret_key := source.secretKeyRef) is not None:
        secret = sources.secret(secret_key.name or "")
        if secret is None:
            return _missing(secret_key.optional, f'secret "{secret_key.name}" not found')
        data = (secret.data or {}).get(secret_key.key)
        if data is None:
            where = f"Secret {meta.namespace}/{secret_key.name}"
            return _missing(secret_key.optional, f"couldn't find key {secret_key.key} in {where}")
        return _text(data)
    if source.fileKeyRef is not None:
        return _missing(source.fileKeyRef.optional, "fileKeyRef is not available on this node")
    return ""


def _missing(optional: bool | None, why: str) -> str | None:
    """None if it may be missing; raises ConfigError otherwise."""
    if not optional:
        raise ConfigError(why)
    return None


def service_variables(pod: core_v1.Pod, services: Iterable[core_v1.Service]) -> dict[str, str]:
    """Where the services of the Pod's namespace are; that of ``kubernetes`` in ``default`` always."""
    links = pod.spec.enableServiceLinks is not False
    chosen: dict[str, core_v1.Service] = {}
    for service in services:
        name, namespace = service.metadata.name, service.metadata.namespace
        if not service.spec.clusterIP or service.spec.clusterIP == "None":
            continue
        if namespace == pod.metadata.namespace and (links or (namespace == "default" and name == "kubernetes")):
            chosen[name] = service
        elif namespace == "default" and name == "kubernetes":
            chosen.setdefault(name, service)
    result: dict[str, str] = {}
    for name in sorted(chosen):
        result.update(_of_service(chosen[name]))
    return result


def _of_service(service: core_v1.Service) -> dict[str, str]:
    name = service.metadata.name.upper().replace("-", "_")
    address = service.spec.clusterIP or ""
    host = f"[{address}]" if ":" in address else address
    ports = service.spec.ports or []
    if not ports:
        return {}
    result = {f"{name}_SERVICE_HOST": address, f"{name}_SERVICE_PORT": str(ports[0].port)}
    for port in ports:
        if port.name:
            result[f"{name}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
    for index, port in enumerate(ports):
        protocol = (port.protocol or "TCP").upper()
        url = f"{protocol.lower()}://{host}:{port.port}"
        if index == 0:
            result[f"{name}_PORT"] = url
        prefix = f"{name}_PORT_{port.port}_{protocol}"
        result[prefix] = url
        result[f"{prefix}_PROTO"] = protocol.lower()
        result[f"{prefix}_PORT"] = str(port.port)
        result[f"{prefix}_ADDR"] = address
    return result
