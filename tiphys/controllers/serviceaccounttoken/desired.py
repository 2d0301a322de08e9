"""What becomes of a token Secret.

Source: Kubernetes docs, "Managing Service Accounts", "Token controller".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from tiphys.api import core_v1

SECRET_TYPE: Final = "kubernetes.io/service-account-token"
ACCOUNT_NAME: Final = "kubernetes.io/service-account.name"
ACCOUNT_UID: Final = "kubernetes.io/service-account.uid"


@dataclass(frozen=True, slots=True)
class Delete:
    """Nobody can use it any more."""


@dataclass(frozen=True, slots=True)
class Write:
    """The Secret as it should be."""

    secret: core_v1.Secret


def account_of(secret: core_v1.Secret) -> str:
    """The name of the account that a token Secret is for; empty if it is none."""
    return secret.metadata.annotations.get(ACCOUNT_NAME, "") if secret.type == SECRET_TYPE else ""


def desired(
    secret: core_v1.Secret,
    account: core_v1.ServiceAccount | None,
    root_ca: str,
    sign: Callable[[core_v1.ServiceAccount, core_v1.Secret], str],
) -> Delete | Write | None:
    """``sign`` makes a token; it is called only where one is missing. None: all is well."""
    if not account_of(secret):
        return None
    uid = secret.metadata.annotations.get(ACCOUNT_UID, "")
    if account is None or (uid and uid != account.metadata.uid):
        return Delete()
    data = dict(secret.data or {})
    wanted = {"namespace": secret.metadata.namespace.encode()} | ({"ca.crt": root_ca.encode()} if root_ca else {})
    data |= wanted
    if not data.get("token"):
        data["token"] = sign(account, secret).encode()
    annotations = {**secret.metadata.annotations, ACCOUNT_UID: account.metadata.uid}
    if data == (secret.data or {}) and annotations == secret.metadata.annotations:
        return None
    metadata = msgspec.structs.replace(secret.metadata, annotations=annotations)
    return Write(msgspec.structs.replace(secret, metadata=metadata, data=data))
