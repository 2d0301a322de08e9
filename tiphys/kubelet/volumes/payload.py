"""The files of volumes that are made of API objects: ConfigMap, Secret, downward API and projections of these.

Source: Kubernetes docs, "Volumes" and "Projected Volumes"; messages by behaviour.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NewType

from tiphys.api import core_v1
from tiphys.kubelet import downward
from tiphys.kubelet.environment import Sources

DEFAULT_MODE = 0o644
TOKEN_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class File:
    data: bytes
    mode: int
    #: Who owns it, where that is not root.
    uid: int | None = None


Payload = dict[str, File]
Token = NewType("Token", bytes)
#: What identifies a token of a Pod: audience, seconds, and the path for messages.
TokenKey = tuple[str, int]


class PayloadError(Exception):
    """A volume cannot be filled; the text says what is missing."""


def tokens_of(volume: core_v1.Volume) -> list[TokenKey]:
    """The tokens that this volume needs."""
    sources = (volume.projected.sources if volume.projected else None) or ()
    return [token_key(s.serviceAccountToken) for s in sources if s.serviceAccountToken is not None]


def token_key(source: core_v1.ServiceAccountTokenProjection) -> TokenKey:
    return source.audience or "", source.expirationSeconds or TOKEN_SECONDS


def objects_of(volume: core_v1.Volume) -> list[tuple[str, str]]:
    """The objects that this volume reads: ``("configmap" | "secret", name)``."""
    found: list[tuple[str, str]] = []
    if volume.configMap is not None:
        found.append(("configmap", volume.configMap.name or ""))
    if volume.secret is not None:
        found.append(("secret", volume.secret.secretName or ""))
    for source in (volume.projected.sources if volume.projected else None) or ():
        if source.configMap is not None:
            found.append(("configmap", source.configMap.name or ""))
        if source.secret is not None:
            found.append(("secret", source.secret.name or ""))
    return found


def payload(
    itself: downward.Itself,
    volume: core_v1.Volume,
    sources: Sources,
    tokens: Mapping[TokenKey, Token],
) -> Payload | None:
    """Path to file; None for a volume that is not made of API objects. Raises PayloadError."""
    namespace = itself.pod.metadata.namespace
    if (cm := volume.configMap) is not None:
        return _config_map(namespace, cm.name or "", cm.items, cm.optional, cm.defaultMode, sources)
    if (secret := volume.secret) is not None:
        name = secret.secretName or ""
        return _secret(namespace, name, secret.items, secret.optional, secret.defaultMode, sources)
    if (api := volume.downwardAPI) is not None:
        return _downward(itself, api.items or (), api.defaultMode)
    if volume.projected is not None:
        return _projected(itself, volume.projected, sources, tokens)
    return None


def _projected(
    itself: downward.Itself,
    volume: core_v1.ProjectedVolumeSource,
    sources: Sources,
    tokens: Mapping[TokenKey, Token],
) -> Payload:
    namespace, mode = itself.pod.metadata.namespace, volume.defaultMode
    result: Payload = {}
    for source in volume.sources or ():
        if (cm := source.configMap) is not None:
            result |= _config_map(namespace, cm.name or "", cm.items, cm.optional, mode, sources)
        elif (secret := source.secret) is not None:
            result |= _secret(namespace, secret.name or "", secret.items, secret.optional, mode, sources)
        elif source.downwardAPI is not None:
            result |= _downward(itself, source.downwardAPI.items or (), mode)
        elif (token := source.serviceAccountToken) is not None:
            result[token.path] = _token_file(itself.pod, tokens[token_key(token)], mode)
        elif source.clusterTrustBundle is not None:
            if not source.clusterTrustBundle.optional:
                raise PayloadError("ClusterTrustBundle projection is not available on this node")
        elif source.podCertificate is not None:
            raise PayloadError("PodCertificate projection is not available on this node")
    return result


def _token_file(pod: core_v1.Pod, token: Token, mode: int | None) -> File:
    """A token is for its user alone where there is one user; else whoever may read the volume may read it.

    Source: KEP-2451 Service account token projection, "File permission".
    """
    context = pod.spec.securityContext
    if context is not None and context.fsGroup is not None:
        return File(token, 0o600)
    users = {_user(pod, c) for c in (*(pod.spec.initContainers or ()), *pod.spec.containers)}
    only = next(iter(users)) if len(users) == 1 else None
    if only is not None:
        return File(token, 0o600, only)
    return File(token, mode if mode is not None else DEFAULT_MODE)


def _user(pod: core_v1.Pod, container: core_v1.Container) -> int | None:
    own = container.securityContext.runAsUser if container.securityContext else None
    if own is not None:
        return own
    return pod.spec.securityContext.runAsUser if pod.spec.securityContext else None


def _config_map(
    namespace: str,
    name: str,
    items: Sequence[core_v1.KeyToPath] | None,
    optional: bool | None,
    mode: int | None,
    sources: Sources,
) -> Payload:
    found = sources.config_map(name)
    if found is None:
        if optional:
            return {}
        raise PayloadError(f'configmap "{name}" not found')
    data = {key: text.encode() for key, text in (found.data or {}).items()} | dict(found.binaryData or {})
    return _picked(data, items, mode, optional, "configmap references non-existent config key: {}")


def _secret(
    namespace: str,
    name: str,
    items: Sequence[core_v1.KeyToPath] | None,
    optional: bool | None,
    mode: int | None,
    sources: Sources,
) -> Payload:
    found = sources.secret(name)
    if found is None:
        if optional:
            return {}
        raise PayloadError(f'secret "{name}" not found')
    return _picked(found.data or {}, items, mode, optional, "references non-existent secret key: {}")


def _picked(
    data: Mapping[str, bytes],
    items: Sequence[core_v1.KeyToPath] | None,
    mode: int | None,
    optional: bool | None,
    missing: str,
) -> Payload:
    default = mode if mode is not None else DEFAULT_MODE
    if not items:
        return {key: File(bytes(content), default) for key, content in data.items()}
    result: Payload = {}
    for item in items:
        if item.key not in data:
            if optional:
                continue
            raise PayloadError(missing.format(item.key))
        result[item.path] = File(bytes(data[item.key]), item.mode if item.mode is not None else default)
    return result


def _downward(itself: downward.Itself, items: Sequence[core_v1.DownwardAPIVolumeFile], mode: int | None) -> Payload:
    default = mode if mode is not None else DEFAULT_MODE
    result: Payload = {}
    for item in items:
        try:
            if item.fieldRef is not None:
                text = downward.field_text(itself, item.fieldRef.fieldPath)
            elif item.resourceFieldRef is not None:
                text = downward.resource_text(itself, item.resourceFieldRef, "")
            else:
                continue
        except downward.FieldUnknown as error:
            raise PayloadError(str(error)) from error
        result[item.path] = File(text.encode(), item.mode if item.mode is not None else default)
    return result
