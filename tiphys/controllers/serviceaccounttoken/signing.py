"""Tokens that do not end, as Secrets hold them.

Source: Kubernetes docs, "Managing Service Accounts", "Manual Secret management for ServiceAccounts".
"""

import base64
import hashlib
from collections.abc import Callable
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import serialization

from tiphys.api import core_v1

ISSUER: Final = "kubernetes/serviceaccount"
CLAIM: Final = "kubernetes.io/serviceaccount/"
CURVE_ALGORITHMS: Final = {256: "ES256", 384: "ES384", 521: "ES512"}


def signer(key_pem: str) -> Callable[[core_v1.ServiceAccount, core_v1.Secret], str]:
    """Raises ValueError if the PEM holds no private key."""
    key: Any = serialization.load_pem_private_key(key_pem.encode(), password=None)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    der = key.public_key().public_bytes(serialization.Encoding.DER, form)
    identity = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    algorithm = CURVE_ALGORITHMS[key.curve.key_size] if hasattr(key, "curve") else "RS256"

    def sign(account: core_v1.ServiceAccount, secret: core_v1.Secret) -> str:
        metadata = account.metadata
        claims = {
            "iss": ISSUER,
            f"{CLAIM}namespace": metadata.namespace,
            f"{CLAIM}secret.name": secret.metadata.name,
            f"{CLAIM}service-account.name": metadata.name,
            f"{CLAIM}service-account.uid": metadata.uid,
            "sub": f"system:serviceaccount:{metadata.namespace}:{metadata.name}",
        }
        return jwt.encode(claims, key, algorithm, headers={"kid": identity, "typ": None})

    return sign
