"""KMS v2: a plugin on a unix socket keeps the key; here is a seed that it has encrypted.

One seed seals everything until the plugin names another key: then a new one is
made and has the plugin encrypt it. Sealed values carry the encrypted seed, so any
server can have the plugin decrypt it, once per seed, and read them.

Status is asked for each minute, each ten seconds while something is wrong. Three
minutes without a good answer end writing, as the key may have been withdrawn.
Source: KEP-3299 KMS v2 Improvements; periods as kube-apiserver's.
"""

import asyncio
import contextlib
import logging
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import grpc

from tiphys.apiserver.encryption import kms_pb2 as messages
from tiphys.apiserver.encryption.config import Kms, seconds_of
from tiphys.apiserver.encryption.providers import AesGcm, KeyUnavailable, SeededGcm, TransformError
from tiphys.base.clock import Clock

log = logging.getLogger(__name__)

SEED_BYTES: Final = 32
GOOD_SECONDS: Final = 60.0
BAD_SECONDS: Final = 10.0
SEED_SECONDS_MAX: Final = 180.0
KEY_ID_BYTES_MAX: Final = 1024
SOURCE_BYTES_MAX: Final = 1024
ANNOTATIONS_BYTES_MAX: Final = 32 * 1024
#: Seeds that were decrypted and are kept; few exist at a time.
SEEDS_MAX: Final = 1000
VERSIONS: Final = ("v2", "v2beta1")
SEEDED: Final = messages.EncryptedObject.HKDF_SHA256_XNONCE_AES_GCM_SEED


class Plugin:
    """The three calls of a plugin."""

    def __init__(self, endpoint: str, timeout_seconds: float, uid: Callable[[], str]) -> None:
        self._channel = grpc.aio.insecure_channel(endpoint, (("grpc.enable_http_proxy", 0),))
        self._seconds = timeout_seconds
        self._uid = uid

        def method(name: str, asked: Any, answered: Any) -> Any:
            path = f"/v2.KeyManagementService/{name}"
            return self._channel.unary_unary(path, asked.SerializeToString, answered.FromString)

        self._status = method("Status", messages.StatusRequest, messages.StatusResponse)
        self._encrypt = method("Encrypt", messages.EncryptRequest, messages.EncryptResponse)
        self._decrypt = method("Decrypt", messages.DecryptRequest, messages.DecryptResponse)

    async def _call(self, what: str, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=self._seconds)
        except grpc.aio.AioRpcError as problem:
            code = problem.code().name
            raise KeyUnavailable(f"failed to {what}: rpc error: code = {code} desc = {problem.details()}") from problem

    async def status(self) -> str:
        """The key id in use. Raises KeyUnavailable."""
        answer = await self._call("get status", self._status, messages.StatusRequest())
        if answer.version not in VERSIONS:
            raise KeyUnavailable(f"expected KMSv2 API version v2, got {answer.version}")
        if answer.healthz != "ok":
            raise KeyUnavailable(f"expected KMSv2 healthz status ok, got {answer.healthz}")
        _check_key_id(answer.key_id)
        return str(answer.key_id)

    async def encrypt(self, seed: bytes) -> Any:
        answer = await self._call(
            "encrypt DEK", self._encrypt, messages.EncryptRequest(plaintext=seed, uid=self._uid())
        )
        _check_key_id(answer.key_id)
        if not 0 < len(answer.ciphertext) <= SOURCE_BYTES_MAX:
            raise KeyUnavailable(
                f"encrypted DEK source is {len(answer.ciphertext)} bytes, 1 to {SOURCE_BYTES_MAX} are expected"
            )
        if sum(len(name) + len(value) for name, value in answer.annotations.items()) > ANNOTATIONS_BYTES_MAX:
            raise KeyUnavailable(f"total size of annotations exceeds the max size of {ANNOTATIONS_BYTES_MAX} bytes")
        return answer

    async def decrypt(self, sealed: Any) -> bytes:
        request = messages.DecryptRequest(
            ciphertext=sealed.encryptedDEKSource,
            uid=self._uid(),
            key_id=sealed.keyID,
            annotations=dict(sealed.annotations),
        )
        return bytes((await self._call("decrypt DEK", self._decrypt, request)).plaintext)

    async def close(self) -> None:
        await self._channel.close(None)


def _check_key_id(key_id: str) -> None:
    size = len(key_id.encode())
    if not size:
        raise KeyUnavailable("keyID is empty")
    if size > KEY_ID_BYTES_MAX:
        raise KeyUnavailable(f"keyID is {size} bytes, which exceeds the max size of {KEY_ID_BYTES_MAX}")


class _Seed(NamedTuple):
    """What seals at present."""

    cipher: SeededGcm
    #: The plugin's answer: ciphertext, key_id, annotations.
    sealed: Any


class KmsProvider:
    """``async with``: asks the plugin for its key and follows it. See ``providers.Provider``."""

    def __init__(self, config: Kms, clock: Clock, uid: Callable[[], str]) -> None:
        self.name = config.name
        self.prefix = f"k8s:enc:kms:v2:{config.name}:".encode()
        self._plugin = Plugin(config.endpoint, seconds_of(config.timeout), uid)
        self._clock = clock
        self._seed: _Seed | None = None
        self._good_until = 0.0
        #: What is wrong; empty if nothing is.
        self.problem = "not asked yet"
        self._ciphers: OrderedDict[tuple[bytes, str, int], Any] = OrderedDict()
        self._tags: dict[str, bytes] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "KmsProvider":
        await self.probe()
        self._task = asyncio.create_task(self._run(), name=f"kms {self.name}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._plugin.close()

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(BAD_SECONDS if self.problem else GOOD_SECONDS)
            await self.probe()

    async def probe(self) -> None:
        """Ask for the plugin's key; take a new seed if it has changed."""
        try:
            key_id = await self._plugin.status()
            if self._seed is None or self._seed.sealed.key_id != key_id:
                await self._renew(key_id)
        except KeyUnavailable as problem:
            self.problem = str(problem)
            log.warning("KMS provider %s: %s", self.name, problem)
            return
        self.problem = ""
        self._good_until = self._clock.monotonic() + SEED_SECONDS_MAX

    async def _renew(self, key_id: str) -> None:
        seed = os.urandom(SEED_BYTES)
        sealed = await self._plugin.encrypt(seed)
        if sealed.key_id != key_id and self._seed is not None and self._seed.sealed.key_id == sealed.key_id:
            # The plugin says that there is a new key and goes on with the old one: so do we until it has settled.
            return
        self._seed = _Seed(SeededGcm(seed), sealed)

    def _tag(self, key_id: str) -> bytes:
        tag = self._tags.get(key_id)
        if tag is None:
            tag = self._tags[key_id] = self.prefix + key_id.encode()
        return tag

    @property
    def tag(self) -> bytes:
        return self._tag(self._seed.sealed.key_id) if self._seed else self.prefix

    def seal(self, data: bytes, path: bytes) -> bytes:
        seed = self._seed
        if seed is None or self._clock.monotonic() > self._good_until:
            raise KeyUnavailable(f"EDEK with keyID hash expired: {self.problem or 'the plugin has not answered'}")
        sealed = messages.EncryptedObject(
            encryptedData=seed.cipher.seal(data, path),
            keyID=seed.sealed.key_id,
            encryptedDEKSource=seed.sealed.ciphertext,
            annotations=dict(seed.sealed.annotations),
            encryptedDEKSourceType=SEEDED,
        )
        return self.prefix + sealed.SerializeToString()

    async def open(self, data: bytes, path: bytes) -> tuple[bytes, bytes]:
        sealed = messages.EncryptedObject()
        try:
            sealed.ParseFromString(data[len(self.prefix) :])
        except Exception as problem:  # protobuf's DecodeError has no public home in every implementation
            raise TransformError(f"failed to unmarshal encrypted object: {problem}") from problem
        cipher = await self._cipher(sealed)
        value = cipher.open(sealed.encryptedData, path)
        # What was sealed with a key for many values is to be written again with a seed.
        fresh = sealed.encryptedDEKSourceType == SEEDED
        return value, self._tag(sealed.keyID) if fresh else self.prefix

    async def _cipher(self, sealed: Any) -> Any:
        seed = self._seed
        if seed and sealed.encryptedDEKSource == seed.sealed.ciphertext and sealed.encryptedDEKSourceType == SEEDED:
            return seed.cipher
        name = (sealed.encryptedDEKSource, sealed.keyID, sealed.encryptedDEKSourceType)
        found = self._ciphers.get(name)
        if found is None:
            source = await self._plugin.decrypt(sealed)
            found = SeededGcm(source) if sealed.encryptedDEKSourceType == SEEDED else AesGcm(source)
            self._ciphers[name] = found
            if len(self._ciphers) > SEEDS_MAX:
                self._ciphers.popitem(last=False)
        return found
