"""A KMS v2 plugin on a unix socket whose keys the test changes."""

import asyncio
from typing import Any

import grpc
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tiphys.apiserver.encryption import kms_pb2 as messages

ANNOTATION = "version.encryption.example.com"


class Plugin:
    """``async with``; serves on ``endpoint``. ``key_id`` is what it says to use; ``calls`` are the names of calls."""

    def __init__(self, path: str) -> None:
        self.endpoint = f"unix://{path}"
        self.key_id = "1"
        self.health = "ok"
        self.calls: list[str] = []
        #: Set once it has been asked to decrypt.
        self.asked = asyncio.Event()
        #: Whether it decrypts nothing.
        self.refuses = False
        self._keys: dict[str, AESGCM] = {}
        self._server = grpc.aio.server()
        answers = {
            "Status": (messages.StatusRequest, messages.StatusResponse, self._status),
            "Encrypt": (messages.EncryptRequest, messages.EncryptResponse, self._encrypt),
            "Decrypt": (messages.DecryptRequest, messages.DecryptResponse, self._decrypt),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(answer, asked.FromString, answered.SerializeToString)
            for name, (asked, answered, answer) in answers.items()
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("v2.KeyManagementService", handlers),)
        )
        self._server.add_insecure_port(self.endpoint)

    async def __aenter__(self) -> "Plugin":
        await self._server.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._server.stop(None)

    def _key(self, key_id: str) -> AESGCM:
        return self._keys.setdefault(key_id, AESGCM(key_id.encode().rjust(32, b"k")))

    async def _status(self, request: Any, context: Any) -> Any:
        self.calls.append("status")
        return messages.StatusResponse(version="v2", healthz=self.health, key_id=self.key_id)

    async def _encrypt(self, request: Any, context: Any) -> Any:
        self.calls.append("encrypt")
        text = self._key(self.key_id).encrypt(b"n" * 12, request.plaintext, b"")
        return messages.EncryptResponse(ciphertext=text, key_id=self.key_id, annotations={ANNOTATION: b"1"})

    async def _decrypt(self, request: Any, context: Any) -> Any:
        self.calls.append("decrypt")
        self.asked.set()
        if self.refuses:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "vault is sealed")
        assert request.annotations[ANNOTATION] == b"1"
        return messages.DecryptResponse(plaintext=self._key(request.key_id).decrypt(b"n" * 12, request.ciphertext, b""))
