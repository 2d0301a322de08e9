"""What servers that extend this one must know to trust whom it trusts, and since when old tokens are watched.

Both are ConfigMaps in ``kube-system`` that the API server keeps.
Source: Kubernetes docs, "Configure the Aggregation Layer"; "Managing Service
Accounts", Legacy ServiceAccount token tracking; KEP-2799.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from tiphys.api import core_v1, meta_v1
from tiphys.apiserver.authentication.proxies import Proxies
from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.seams import Objects
from tiphys.machinery import codec, errors

NAMESPACE: Final = "kube-system"
TRUST: Final = "extension-apiserver-authentication"
TRACKING: Final = "kube-apiserver-legacy-service-account-token-tracking"


def trust_data(config: ApiServerConfig, proxies: Proxies | None) -> dict[str, str]:
    """The data of the ConfigMap. Raises OSError."""
    found: dict[str, str] = {}
    if config.client_ca:
        found["client-ca-file"] = Path(config.client_ca).read_text("utf-8")
    if proxies is not None:
        found["requestheader-client-ca-file"] = Path(config.requestheader_client_ca).read_text("utf-8")
        found |= proxies.published()
    return found


async def publish(objects: Objects, config: ApiServerConfig, proxies: Proxies | None, now: datetime) -> None:
    """Bring both up to date. Raises OSError."""
    data = trust_data(config, proxies)
    if data:
        await _ensure(objects, TRUST, data, replace=True)
    await _ensure(objects, TRACKING, {"since": now.strftime("%Y-%m-%d")}, replace=False)


async def _ensure(objects: Objects, name: str, data: Mapping[str, str], *, replace: bool) -> None:
    found = objects.find("", "configmaps", NAMESPACE, name)
    try:
        if found is None:
            metadata = meta_v1.ObjectMeta(name=name, namespace=NAMESPACE)
            await objects.create(core_v1.ConfigMap(metadata=metadata, data=dict(data)))
        elif replace and not data.items() <= (found.data or {}).items():
            mine = codec.copy(found)
            mine.data = {**(found.data or {}), **data}
            await objects.update(mine)
    except (errors.AlreadyExists, errors.Conflict):
        # Another API server on the same store has just done it.
        return
