"""ConfigMaps and Secrets as simulated Pods need them: a Pod that names one that is missing does not start.

What is read of them, and how its absence is told, is the real kubelet's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tiphys.api import core_v1
from tiphys.client import Informer, Informers
from tiphys.kubelet import downward, environment, restart
from tiphys.kubelet.volumes import payload
from tiphys.machinery.goformat import quote


@dataclass(frozen=True, slots=True)
class NamespaceObjects:
    """Those of one namespace, as the kubelet's functions read them."""

    _config_maps: Informer[core_v1.ConfigMap]
    _secrets: Informer[core_v1.Secret]
    _namespace: str

    def config_map(self, name: str) -> core_v1.ConfigMap | None:
        return self._config_maps.get(f"{self._namespace}/{name}")

    def secret(self, name: str) -> core_v1.Secret | None:
        return self._secrets.get(f"{self._namespace}/{name}")


class Objects:
    """All of a cluster; ``changed`` hears of the namespace in which one has changed."""

    def __init__(self, informers: Informers, changed: Callable[[str], None]) -> None:
        self._config_maps = informers.of(core_v1.ConfigMap)
        self._secrets = informers.of(core_v1.Secret)
        self._config_maps.add_handler(
            lambda obj: changed(obj.metadata.namespace), lambda _, new: changed(new.metadata.namespace)
        )
        self._secrets.add_handler(
            lambda obj: changed(obj.metadata.namespace), lambda _, new: changed(new.metadata.namespace)
        )

    def of(self, namespace: str) -> NamespaceObjects:
        return NamespaceObjects(self._config_maps, self._secrets, namespace)


def volume_fault(itself: downward.Itself, sources: environment.Sources) -> str:
    """Why the Pod's volumes cannot be mounted; empty if they can."""
    for volume in itself.pod.spec.volumes or ():
        tokens: Mapping[payload.TokenKey, payload.Token] = dict.fromkeys(
            payload.tokens_of(volume), payload.Token(b"simulated")
        )
        try:
            payload.payload(itself, volume, sources, tokens)
        except (payload.PayloadError, ValueError) as error:
            return f"MountVolume.SetUp failed for volume {quote(volume.name)} : {error}"
    return ""


def variable_fault(itself: downward.Itself, container: restart.AnyContainer, sources: environment.Sources) -> str:
    """Why the container's environment cannot be made; empty if it can."""
    try:
        environment.environment(itself, container, sources, {})
    except environment.ConfigError as error:
        return str(error)
    return ""
