"""Users by client certificate: the subject's common name, its organizations as groups.

The TLS layer has verified the chain. Where the certificates of authenticating
proxies come from an authority of their own, ``issuers`` tells which one a
certificate is from.
Source: Kubernetes docs, "Authenticating", X509 client certificates.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID, ObjectIdentifier

from tiphys.apiserver.authentication.authenticator import CREDENTIAL_ID, TokenProblem, with_authenticated
from tiphys.base.clock import Clock
from tiphys.wire.exchange import UserInfo

REMEMBERED_MAX: Final = 4096
#: Holds a user's uid. Source: KEP-5018, by behaviour.
UID_OID: Final = ObjectIdentifier("1.3.6.1.4.1.57683.2")


class Authorities:
    """The certificates of one bundle, read again when the file has changed."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._stamp: tuple[int, int] | None = None
        self._certificates: Sequence[x509.Certificate] = ()

    def have_issued(self, certificate: x509.Certificate) -> bool:
        """Whether one of them has signed it. Raises OSError."""
        return any(_issued(authority, certificate) for authority in self._current())

    def _current(self) -> Sequence[x509.Certificate]:
        found = self._path.stat()
        stamp = (found.st_mtime_ns, found.st_size)
        if stamp != self._stamp:
            self._certificates = x509.load_pem_x509_certificates(self._path.read_bytes())
            self._stamp = stamp
        return self._certificates


def _issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


class _Known(NamedTuple):
    expires: float
    user: UserInfo


class Certificates:
    """The users that client certificates name; each certificate is parsed once."""

    def __init__(self, clock: Clock, authorities: Authorities | None = None) -> None:
        self._clock = clock
        self._authorities = authorities
        self._known: dict[bytes, _Known] = {}

    def user(self, der: bytes) -> UserInfo:
        """Raises TokenProblem if the certificate names nobody, is another authority's or has expired meanwhile."""
        known = self._known.get(der)
        if known is None:
            known = self._read(der)
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            self._known[der] = known
        if self._clock.now().timestamp() > known.expires:
            raise TokenProblem("x509: certificate has expired or is not yet valid")
        return known.user

    def _read(self, der: bytes) -> _Known:
        try:
            certificate = x509.load_der_x509_certificate(der)
            if self._authorities is not None and not self._authorities.have_issued(certificate):
                raise TokenProblem("x509: certificate signed by unknown authority")
            return _Known(certificate.not_valid_after_utc.astimezone(UTC).timestamp(), _user(certificate, der))
        except (ValueError, OSError) as problem:
            raise TokenProblem(f"x509: {problem}") from problem


def common_name(certificate: x509.Certificate) -> str:
    return next(iter(_values(certificate, NameOID.COMMON_NAME)), "")


def _user(certificate: x509.Certificate, der: bytes) -> UserInfo:
    name = common_name(certificate)
    if not name:
        raise TokenProblem("x509: certificate has no common name")
    uids = _values(certificate, UID_OID)
    if len(uids) > 1:
        raise TokenProblem("x509: certificate has more than one uid")
    extra = {CREDENTIAL_ID: (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)}
    groups = with_authenticated(_values(certificate, NameOID.ORGANIZATION_NAME))
    return UserInfo(name, uids[0] if uids else "", groups, extra)


def _values(certificate: x509.Certificate, oid: ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(oid)]
