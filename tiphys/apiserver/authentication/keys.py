"""Keys that sign and check tokens: read from PEM, told apart by id, published as a JSON Web Key Set.

Which algorithm a key may be used with follows from the key, never from the
token: a token cannot choose to be checked in another way.
Source: RFC 7517 and 7518; Kubernetes docs, "Service Account issuer discovery".
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tiphys.apiserver.config import Misconfigured

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

#: Curve -> algorithm and the name of the curve in key sets.
CURVES: Final = {"secp256r1": ("ES256", "P-256"), "secp384r1": ("ES384", "P-384"), "secp521r1": ("ES512", "P-521")}
_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


class KeyProblem(Misconfigured):
    """A file without a key that can be used; the text names it."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, its id and its algorithm."""

    public: PublicKey
    id: str
    algorithm: str


def key_of(public: PublicKey) -> Key:
    """Raises KeyProblem for a curve that tokens do not use."""
    if isinstance(public, rsa.RSAPublicKey):
        return Key(public, key_id(public), "RS256")
    if public.curve.name not in CURVES:
        raise KeyProblem(f"unknown private key curve, must be 256, 384, or 521, is {public.curve.name}")
    return Key(public, key_id(public), CURVES[public.curve.name][0])


def key_id(key: PublicKey) -> str:
    """The SHA-256 of the DER form, in base64: the same key has the same id everywhere."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _base64(hashlib.sha256(der).digest())


def private_key(path: str) -> PrivateKey:
    """The key in a PEM file. Raises OSError, KeyProblem."""
    try:
        key = serialization.load_pem_private_key(Path(path).read_bytes(), password=None)
    except (ValueError, TypeError) as problem:
        raise KeyProblem(f"{path} holds no private key: {problem}") from problem
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise KeyProblem(f"{path} holds neither an RSA nor an ECDSA key")
    return key


def public_keys(path: str) -> list[Key]:
    """The keys in a PEM file: public ones, and those of certificates and private keys. Raises OSError, KeyProblem."""
    found = [key for block in _BLOCK.finditer(Path(path).read_bytes()) if (key := _public(block)) is not None]
    if not found:
        raise KeyProblem(f"{path} does not contain any valid RSA or ECDSA public keys")
    return found


def _public(block: "re.Match[bytes]") -> Key | None:
    kind, pem = block[1], block[0]
    try:
        public: Any
        if kind == b"CERTIFICATE":
            public = x509.load_pem_x509_certificate(pem).public_key()
        elif kind.endswith(b"PRIVATE KEY"):
            public = serialization.load_pem_private_key(pem, password=None).public_key()
        else:
            public = serialization.load_pem_public_key(pem)
        return key_of(public) if isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) else None
    except (ValueError, TypeError):
        return None


def web_key(key: Key) -> dict[str, str]:
    """A key as key sets have it."""
    common = {"use": "sig", "kid": key.id, "alg": key.algorithm}
    if isinstance(key.public, rsa.RSAPublicKey):
        rsa_numbers = key.public.public_numbers()
        return {"kty": "RSA", **common, "n": _number(rsa_numbers.n), "e": _number(rsa_numbers.e)}
    numbers = key.public.public_numbers()
    size = (key.public.curve.key_size + 7) // 8
    curve = CURVES[key.public.curve.name][1]
    return {"kty": "EC", **common, "crv": curve, "x": _number(numbers.x, size), "y": _number(numbers.y, size)}


def distinct(keys: Sequence[Key]) -> tuple[Key, ...]:
    """Each key once, in the order in which it first came."""
    return tuple({key.id: key for key in keys}.values())


def _number(value: int, size: int = 0) -> str:
    return _base64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
