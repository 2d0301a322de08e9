"""The keys of an OpenID Connect issuer: found by discovery when first needed, fetched again for a new key id.

However many tokens with invented key ids come, the issuer is asked once in a
while only.
Source: OpenID Connect Discovery 1.0; RFC 7517.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

import jwt

from tiphys.apiserver.remote import Remote, RemoteError
from tiphys.base.clock import Clock

#: Between two fetches, successful or not.
FETCH_SECONDS_MIN: Final = 10.0
KEYS_MAX: Final = 100


class KeySetProblem(Exception):
    """The issuer's keys cannot be had."""


class KeySet:
    """Keys of one issuer. ``discovery_url`` is where its configuration is, if not below the issuer itself."""

    def __init__(self, remote: Remote, issuer: str, clock: Clock, discovery_url: str = "") -> None:
        self._remote = remote
        self._issuer = issuer
        self._discovery_url = discovery_url or f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        self._clock = clock
        self._lock = asyncio.Lock()
        self._keys: Sequence[jwt.PyJWK] = ()
        self._fetched: float | None = None
        self._problem = ""

    async def keys_for(self, identity: str | None) -> Sequence[jwt.PyJWK]:
        """Those that may have signed a token with this key id. Raises KeySetProblem."""
        found = self._matching(identity)
        if found:
            return found
        async with self._lock:
            if not self._matching(identity) and self._may_fetch():
                await self._fetch()
        if self._problem and not self._keys:
            raise KeySetProblem(self._problem)
        return self._matching(identity)

    def _matching(self, identity: str | None) -> list[jwt.PyJWK]:
        return [key for key in self._keys if identity is None or key.key_id in (None, identity)]

    def _may_fetch(self) -> bool:
        return self._fetched is None or self._clock.monotonic() >= self._fetched + FETCH_SECONDS_MIN

    async def _fetch(self) -> None:
        try:
            configuration = _document(await self._remote.get(self._discovery_url))
            if configuration.get("issuer") != self._issuer:
                raise KeySetProblem(
                    f'issuer did not match the issuer returned by provider, expected "{self._issuer}" got '
                    f'"{configuration.get("issuer")}"'
                )
            self._keys = _read(_document(await self._remote.get(str(configuration.get("jwks_uri")))))
            self._problem = ""
        except (RemoteError, KeySetProblem, ValueError) as problem:
            self._problem = str(problem)
        finally:
            self._fetched = self._clock.monotonic()

    async def close(self) -> None:
        await self._remote.close()


def _document(data: bytes) -> dict[str, Any]:
    found = json.loads(data)
    if not isinstance(found, dict):
        raise KeySetProblem("a JSON object was expected from the issuer")
    return found


def _read(document: dict[str, Any]) -> list[jwt.PyJWK]:
    """The keys that can check signatures; those that we do not understand are left out, symmetric ones with them."""
    found = []
    for raw in (document.get("keys") or [])[:KEYS_MAX]:
        if not isinstance(raw, dict) or raw.get("kty") == "oct" or raw.get("use", "sig") != "sig":
            continue
        try:
            found.append(jwt.PyJWK(raw))
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
    return found
