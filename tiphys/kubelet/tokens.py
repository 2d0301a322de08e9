"""Service account tokens for Pods: requested, kept until they age, and requested anew.

Source: KEP-2451 Service account token projection: a token is renewed when four fifths of its life are over, or
when it is a day old.
"""

from dataclasses import dataclass

from tiphys.api import authentication_v1, core_v1
from tiphys.base.clock import Clock
from tiphys.client import Client
from tiphys.kubelet.volumes.payload import Token, TokenKey
from tiphys.machinery import codec, times

OLD_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class _Kept:
    token: Token
    renew_at: float


class Tokens:
    """Per Pod, audience and lifetime. Raises what the client raises."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._kept: dict[tuple[str, TokenKey], _Kept] = {}

    async def get(self, pod: core_v1.Pod, key: TokenKey) -> Token:
        now = self._clock.now().timestamp()
        kept = self._kept.get((pod.metadata.uid, key))
        if kept is not None and now < kept.renew_at:
            return kept.token
        audience, seconds = key
        request = authentication_v1.TokenRequest(
            spec=authentication_v1.TokenRequestSpec(
                audiences=[audience] if audience else None,
                expirationSeconds=seconds,
                boundObjectRef=authentication_v1.BoundObjectReference(
                    apiVersion="v1", kind="Pod", name=pod.metadata.name, uid=pod.metadata.uid
                ),
            )
        )
        account = pod.spec.serviceAccountName or "default"
        accounts = self._client.of(core_v1.ServiceAccount)
        body = await accounts.create_subresource(account, pod.metadata.namespace, "token", request)
        status = codec.decode(authentication_v1.TokenRequest, body).status
        token = Token((status.token or "").encode())
        life = times.parse(status.expirationTimestamp).timestamp() - now if status.expirationTimestamp else seconds
        self._kept[(pod.metadata.uid, key)] = _Kept(token, now + min(life * 0.8, OLD_SECONDS))
        return token

    def renew_at(self, uid: str) -> float | None:
        """When the first token of this Pod has to be renewed, in seconds since the epoch."""
        return min((kept.renew_at for (owner, _), kept in self._kept.items() if owner == uid), default=None)

    def forget(self, uid: str) -> None:
        for key in [key for key in self._kept if key[0] == uid]:
            del self._kept[key]
