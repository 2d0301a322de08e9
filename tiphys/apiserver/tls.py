"""How the listener speaks TLS: its certificate, and whose client certificates it takes.

Files may be replaced while the server runs: a handshake looks, at most once a
second, whether they have changed. What cannot be read is left for later, and
the last good ones go on serving.
Source: kube-apiserver's dynamic certificates, by behaviour.
"""

import logging
import ssl
import time
from pathlib import Path
from typing import Final

from tiphys.apiserver.config import ApiServerConfig

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
_Stamps = tuple[tuple[int, int], ...]


def context_of(config: ApiServerConfig) -> ssl.SSLContext:
    """TLS 1.2 and later; client certificates are optional, but must be the clients' or the proxies' CA's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Tickets hold the client's certificate and cost a third of a handshake; Go's and Python's clients resume nothing.
    context.num_tickets = 0
    # Clients know what they decrypt fastest: Go's and Python's ask for AES-128, our own order begins with AES-256.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(config.certificate, config.private_key)
    for authority in filter(None, (config.client_ca, config.requestheader_client_ca)):
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(authority)
    return context


def reloading(config: ApiServerConfig) -> ssl.SSLContext:
    """A context that gives each new connection the files of its time. Raises OSError, ssl.SSLError."""
    first = context_of(config)
    current = _Current(config, first)

    def chosen(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = current.context()

    first.sni_callback = chosen
    return first


class _Current:
    """The newest context that could be made."""

    def __init__(self, config: ApiServerConfig, context: ssl.SSLContext) -> None:
        self._config = config
        self._context = context
        self._stamps = self._look()
        self._looked = time.monotonic()

    def context(self) -> ssl.SSLContext:
        # The machine's clock, for it is the machine's files that are looked at.
        now = time.monotonic()
        if now < self._looked + LOOK_SECONDS:
            return self._context
        self._looked = now
        stamps = self._look()
        if stamps and stamps != self._stamps:
            try:
                self._context = context_of(self._config)
                self._stamps = stamps
            except (OSError, ssl.SSLError) as problem:
                log.warning("certificates have changed and cannot be used", extra={"problem": str(problem)})
        return self._context

    def _look(self) -> _Stamps:
        """What tells versions of the files apart; empty while one is missing."""
        config = self._config
        paths = (config.certificate, config.private_key, config.client_ca, config.requestheader_client_ca)
        try:
            found = [Path(path).stat() for path in paths if path]
        except OSError:
            return ()
        return tuple((one.st_mtime_ns, one.st_ino) for one in found)
