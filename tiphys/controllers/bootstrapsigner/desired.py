"""Which signatures ``cluster-info`` should carry.

Who knows a token can tell by the signature that the description, which anybody
may read, comes from somebody who knows it, too.
Source: Kubernetes docs, "Authenticating with Bootstrap Tokens"; RFC 7515, detached content.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from tiphys.api import core_v1
from tiphys.controllers.bootstraptokens import SECRET_PREFIX, SECRET_TYPE, seconds_left, text

NAMESPACE: Final = "kube-public"
NAME: Final = "cluster-info"
CONTENT: Final = "kubeconfig"
SIGNATURE_PREFIX: Final = "jws-kubeconfig-"


def desired(data: Mapping[str, str], secrets: Iterable[core_v1.Secret], now: datetime) -> dict[str, str] | None:
    """The ConfigMap's data as it should be; None if there is nothing to sign, or nothing to change."""
    content = data.get(CONTENT)
    if content is None:
        return None
    kept = {key: value for key, value in data.items() if not key.startswith(SIGNATURE_PREFIX)}
    for identity, secret in sorted(signers(secrets, now).items()):
        kept[SIGNATURE_PREFIX + identity] = signature(content, identity, secret)
    return None if kept == data else kept


def signers(secrets: Iterable[core_v1.Secret], now: datetime) -> dict[str, str]:
    """Id and secret of the tokens that may sign."""
    found: dict[str, str] = {}
    for one in secrets:
        identity, secret = text(one, "token-id"), text(one, "token-secret")
        if one.type != SECRET_TYPE or not identity or not secret:
            continue
        if one.metadata.name != SECRET_PREFIX + identity or text(one, "usage-bootstrap-signing") != "true":
            continue
        left = seconds_left(one, now)
        if left is None or left > 0:
            found[identity] = secret
    return found


def signature(content: str, identity: str, secret: str) -> str:
    """A JSON Web Signature (HS256) without its payload. Byte for byte what kubeadm compares with."""
    header = _base64(json.dumps({"alg": "HS256", "kid": identity}, separators=(",", ":")).encode())
    signed = f"{header}.{_base64(content.encode())}".encode()
    return f"{header}..{_base64(hmac.new(secret.encode(), signed, hashlib.sha256).digest())}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
