"""The ciphers. Each seals bytes for one path in the store and opens what was sealed for that path.

A sealed value is a prefix that names the provider and the key, and behind it:
for aescbc a random vector of 16 bytes and PKCS#7-padded blocks; for aesgcm a
random nonce of 12 bytes and the text with its tag, the path being authenticated
with it; for secretbox a random nonce of 24 bytes and the box.
Source: Kubernetes docs, "Encrypting Confidential Data at Rest", "Available providers".
"""

import hmac
import os
from collections.abc import Callable
from hashlib import sha256
from typing import Final, Protocol

from tiphys.store.interface import StoreError

BLOCK: Final = 16
NONCE: Final = 12
#: What a seed is expanded with, kept in front of the nonce. Source: KEP-3299, "Key hierarchy".
INFO: Final = 32
SHORT: Final = "the stored data was shorter than the required size"
ENCRYPTED: Final = b"k8s:enc:"


class TransformError(StoreError):
    """A stored value cannot be opened, or a value cannot be sealed; the text says why."""


class KeyUnavailable(TransformError):
    """Who keeps the key does not answer, or not as it should; later it may."""


class Provider(Protocol):
    """One way to keep values."""

    #: What its values begin with.
    prefix: bytes

    @property
    def tag(self) -> bytes:
        """What values that are written now begin with, as far as it says which key holds them."""

    def seal(self, data: bytes, path: bytes) -> bytes: ...

    async def open(self, data: bytes, path: bytes) -> tuple[bytes, bytes]:
        """The value and its tag. Raises TransformError."""


class Identity:
    """As it is. Opens only what nobody has sealed."""

    prefix = b""
    tag = b""

    def seal(self, data: bytes, path: bytes) -> bytes:
        return data

    async def open(self, data: bytes, path: bytes) -> tuple[bytes, bytes]:
        if data.startswith(ENCRYPTED):
            raise TransformError("identity transformer tried to read encrypted data")
        return data, b""


class Cipher(Protocol):
    """Seals without a prefix."""

    def seal(self, data: bytes, path: bytes) -> bytes: ...

    def open(self, data: bytes, path: bytes) -> bytes: ...


class Keyed:
    """A cipher under the name of its key."""

    def __init__(self, kind: str, key_name: str, cipher: Cipher) -> None:
        self.prefix = f"k8s:enc:{kind}:v1:{key_name}:".encode()
        self._cipher = cipher

    @property
    def tag(self) -> bytes:
        return self.prefix

    def seal(self, data: bytes, path: bytes) -> bytes:
        return self.prefix + self._cipher.seal(data, path)

    async def open(self, data: bytes, path: bytes) -> tuple[bytes, bytes]:
        return self._cipher.open(data[len(self.prefix) :], path), self.prefix


class AesCbc:
    """No authentication: a changed value may open to something else."""

    def __init__(self, key: bytes) -> None:
        # With the configuration: servers that encrypt nothing do not load it.
        from cryptography.hazmat.primitives.ciphers import algorithms  # noqa: PLC0415

        self._algorithm = algorithms.AES(key)

    def seal(self, data: bytes, path: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers import Cipher, modes  # noqa: PLC0415

        vector = os.urandom(BLOCK)
        padding = BLOCK - len(data) % BLOCK
        encryptor = Cipher(self._algorithm, modes.CBC(vector)).encryptor()
        return vector + encryptor.update(data + bytes([padding]) * padding) + encryptor.finalize()

    def open(self, data: bytes, path: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers import Cipher, modes  # noqa: PLC0415

        if len(data) < BLOCK:
            raise TransformError(SHORT)
        if len(data) % BLOCK or len(data) == BLOCK:
            raise TransformError("the stored data is not a multiple of the block size")
        decryptor = Cipher(self._algorithm, modes.CBC(data[:BLOCK])).decryptor()
        text = decryptor.update(data[BLOCK:]) + decryptor.finalize()
        padding = text[-1]
        if not 0 < padding <= BLOCK or text[-padding:] != bytes([padding]) * padding:
            raise TransformError("invalid padding on input")
        return text[:-padding]


class AesGcm:
    """The path is authenticated, so a value that was moved to another key does not open."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - see AesCbc

        self._aead = AESGCM(key)

    def seal(self, data: bytes, path: bytes) -> bytes:
        nonce = os.urandom(NONCE)
        return nonce + self._aead.encrypt(nonce, data, path)

    def open(self, data: bytes, path: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - see AesCbc

        if len(data) < NONCE:
            raise TransformError(SHORT)
        try:
            return self._aead.decrypt(data[:NONCE], data[NONCE:], path)
        except InvalidTag as problem:
            raise TransformError("cipher: message authentication failed") from problem


class SeededGcm:
    """AES-GCM with a key of its own for every value, derived from a seed, so that nonces cannot run out."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) < 32:
            raise TransformError(f"invalid seed length {len(seed)} used for key generation")
        self._seed = seed

    def _cipher(self, info: bytes) -> AesGcm:
        # The first block of HKDF-Expand with SHA-256 (RFC 5869, 2.3), which is all that a key of 32 bytes needs.
        return AesGcm(hmac.digest(self._seed, info + b"\x01", sha256))

    def seal(self, data: bytes, path: bytes) -> bytes:
        info = os.urandom(INFO)
        return info + self._cipher(info).seal(data, path)

    def open(self, data: bytes, path: bytes) -> bytes:
        if len(data) < INFO:
            raise TransformError(SHORT)
        return self._cipher(data[:INFO]).open(data[INFO:], path)


class Secretbox:
    """XSalsa20 and Poly1305."""

    def __init__(self, key: bytes) -> None:
        # Only who configures secretbox loads libsodium.
        from nacl.secret import SecretBox  # noqa: PLC0415

        self._box = SecretBox(key)

    def seal(self, data: bytes, path: bytes) -> bytes:
        return bytes(self._box.encrypt(data))

    def open(self, data: bytes, path: bytes) -> bytes:
        from nacl.exceptions import CryptoError  # noqa: PLC0415 - see above

        if len(data) < self._box.NONCE_SIZE:
            raise TransformError(SHORT)
        try:
            return self._box.decrypt(data)
        except CryptoError as problem:
            raise TransformError("secretbox: message authentication failed") from problem


CIPHERS: Final[dict[str, Callable[[bytes], Cipher]]] = {"aescbc": AesCbc, "aesgcm": AesGcm, "secretbox": Secretbox}
