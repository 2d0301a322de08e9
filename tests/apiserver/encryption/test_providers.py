"""The ciphers against other implementations of them, and what they refuse."""

import os
import subprocess

import nacl.secret
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tiphys.apiserver.encryption.chain import Chain
from tiphys.apiserver.encryption.providers import CIPHERS, AesCbc, AesGcm, Identity, Keyed, SeededGcm, TransformError

KEY = b"0123456789abcdef0123456789abcdef"
PATH = b"/registry/secrets/default/a"


def openssl(*arguments: str, data: bytes) -> bytes:
    return subprocess.run(["openssl", "enc", *arguments], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1000])
def test_cbc_is_what_openssl_reads_and_writes(size: int) -> None:
    text, vector = b"x" * size, os.urandom(16)
    key = ("-aes-256-cbc", "-K", KEY.hex())
    assert AesCbc(KEY).open(vector + openssl(*key, "-iv", vector.hex(), data=text), PATH) == text
    sealed = AesCbc(KEY).seal(text, PATH)
    assert openssl("-d", *key, "-iv", sealed[:16].hex(), data=sealed[16:]) == text


def test_gcm_authenticates_the_path() -> None:
    sealed = AesGcm(KEY).seal(b"text", PATH)
    assert AESGCM(KEY).decrypt(sealed[:12], sealed[12:], PATH) == b"text"
    with pytest.raises(TransformError, match="cipher: message authentication failed"):
        AesGcm(KEY).open(sealed, PATH + b"b")


def test_the_key_of_a_seed_is_expanded_with_hkdf() -> None:
    sealed = SeededGcm(KEY).seal(b"text", PATH)
    info, nonce, text = sealed[:32], sealed[32:44], sealed[44:]
    key = HKDFExpand(algorithm=hashes.SHA256(), length=32, info=info).derive(KEY)
    assert AESGCM(key).decrypt(nonce, text, PATH) == b"text"
    with pytest.raises(TransformError, match="invalid seed length 31"):
        SeededGcm(KEY[:31])


def test_secretbox_is_nacls() -> None:
    sealed = CIPHERS["secretbox"](KEY).seal(b"text", PATH)
    assert nacl.secret.SecretBox(KEY).decrypt(sealed) == b"text"


@pytest.mark.parametrize("kind", CIPHERS)
def test_sealed_twice_is_different_and_changed_is_refused(kind: str) -> None:
    cipher = CIPHERS[kind](KEY)
    sealed = cipher.seal(b"text", PATH)
    assert sealed != cipher.seal(b"text", PATH)
    assert cipher.open(sealed, PATH) == b"text"
    with pytest.raises(TransformError, match="the stored data was shorter than the required size"):
        cipher.open(sealed[:5], PATH)
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    with pytest.raises(TransformError):
        cipher.open(changed, PATH)


def keyed(name: str, key: bytes = KEY, kind: str = "aesgcm") -> Keyed:
    return Keyed(kind, name, CIPHERS[kind](key))


async def test_the_first_writes_and_all_read() -> None:
    old, new = keyed("old", kind="aescbc"), keyed("new")
    before = Chain([old, Identity()]).seal(b"text", PATH)
    assert before.startswith(b"k8s:enc:aescbc:v1:old:")
    chain = Chain([new, old, Identity()])
    assert chain.seal(b"text", PATH).startswith(b"k8s:enc:aesgcm:v1:new:")
    assert await chain.open(before, PATH) == (b"text", old.tag)
    assert await chain.open(b"plain", PATH) == (b"plain", b"")
    assert chain.tag == new.tag


async def test_what_nobody_can_read_is_refused() -> None:
    sealed = keyed("a").seal(b"text", PATH)
    with pytest.raises(TransformError, match="no matching prefix found"):
        await Chain([keyed("b")]).open(sealed, PATH)
    with pytest.raises(TransformError, match="identity transformer tried to read encrypted data"):
        await Chain([keyed("b"), Identity()]).open(sealed, PATH)
    with pytest.raises(TransformError, match="cipher: message authentication failed"):
        await Chain([keyed("a", b"x" * 32)]).open(sealed, PATH)
