"""Every key and certificate of a cluster, made where missing and renewed in time.

``ensure`` may run at any moment and as often as one likes: what is valid stays
as it is, byte for byte; what is missing, broken, about to expire, made for
other names or signed by another CA is made anew. Files are replaced whole and
belong to their owner alone (0600). A key is written before its certificate, so
a crash in between leaves a pair that does not match and is renewed next time.

Certificates use ECDSA P-256, which signs a handshake several times faster than
RSA. The service account key is RSA 2048, because every consumer of
service account tokens understands RS256.
Source: Kubernetes docs, "PKI certificates and requirements".
"""

import ipaddress
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tiphys.base.clock import Clock, RealClock

CA_LIFETIME: Final = timedelta(days=3650)
LIFETIME: Final = timedelta(days=365)
# Renewed once this part of the lifetime is left, so that a yearly restart is never too late by a day.
RENEW_LEFT: Final = 0.25
# Clocks of other machines may be a little behind ours. Source: kubeadm backdates its CA in the same way.
BACKDATED: Final = timedelta(minutes=5)

CA_NAME: Final = "kubernetes"
FRONT_PROXY_CA: Final = "front-proxy-ca"
FRONT_PROXY_CLIENT: Final = "front-proxy-client"
MASTERS: Final = "system:masters"


@dataclass(frozen=True, slots=True)
class PkiOptions:
    """Whom the certificates are for. Names and addresses in ``extra`` join those of the API server."""

    node_name: str
    service_cidr: str = "10.96.0.0/16"
    cluster_domain: str = "cluster.local"
    extra: tuple[str, ...] = ()
    #: Addresses under which the API server reaches the kubelet.
    node_addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """Paths of a certificate and its key."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Pki:
    """Where everything is."""

    directory: Path

    def pair(self, name: str) -> Pair:
        return Pair(self.directory / f"{name}.crt", self.directory / f"{name}.key")

    @property
    def ca(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def apiserver(self) -> Pair:
        return self.pair("apiserver")

    @property
    def apiserver_kubelet_client(self) -> Pair:
        return self.pair("apiserver-kubelet-client")

    @property
    def front_proxy_ca(self) -> Path:
        """Whoever shows a certificate of it names users in headers; nobody but API servers has one."""
        return self.pair(FRONT_PROXY_CA).cert

    @property
    def front_proxy_client(self) -> Pair:
        return self.pair(FRONT_PROXY_CLIENT)

    @property
    def kubelet_server(self) -> Pair:
        return self.pair("kubelet-server")

    @property
    def admin(self) -> Pair:
        return self.pair("admin")

    @property
    def controllers(self) -> Pair:
        return self.pair("controllers")

    @property
    def scheduler(self) -> Pair:
        return self.pair("scheduler")

    @property
    def kubelet(self) -> Pair:
        return self.pair("kubelet")

    @property
    def proxy(self) -> Pair:
        return self.pair("proxy")

    @property
    def service_account_key(self) -> Path:
        return self.directory / "sa.key"

    @property
    def service_account_public_key(self) -> Path:
        return self.directory / "sa.pub"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One leaf certificate: its subject, its names, and which ends it may serve."""

    name: str
    common_name: str
    organizations: tuple[str, ...] = ()
    server_names: tuple[str, ...] = ()
    client: bool = True


def first_service_address(service_cidr: str) -> str:
    """The address of the Service ``default/kubernetes``."""
    network = ipaddress.ip_network(service_cidr.partition(",")[0].strip())
    return str(network.network_address + 1)


def ensure(directory: Path | str, options: PkiOptions, clock: Clock | None = None) -> Pki:
    """The cluster's keys and certificates, all there and all valid. Raises OSError if they cannot be written."""
    now = (clock or RealClock()).now()
    pki = Pki(Path(directory))
    pki.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca, ca_key = _ensure_ca(pki.pair("ca"), CA_NAME, now)
    for wanted in _leaves(options):
        _ensure_leaf(pki.pair(wanted.name), wanted, ca, ca_key, now)
    proxy_ca, proxy_ca_key = _ensure_ca(pki.pair(FRONT_PROXY_CA), FRONT_PROXY_CA, now)
    client = _Wanted(FRONT_PROXY_CLIENT, FRONT_PROXY_CLIENT)
    _ensure_leaf(pki.front_proxy_client, client, proxy_ca, proxy_ca_key, now)
    _ensure_service_account_key(pki)
    return pki


def issue(
    directory: Path | str,
    name: str,
    common_name: str,
    organizations: tuple[str, ...] = (),
    server_names: tuple[str, ...] = (),
    clock: Clock | None = None,
) -> Pair:
    """One more certificate of the cluster's CA, kept as ``name`` beside the others and valid when this returns."""
    now = (clock or RealClock()).now()
    pki = Pki(Path(directory))
    ca, ca_key = _ensure_ca(pki.pair("ca"), CA_NAME, now)
    pki.pair(name).cert.parent.mkdir(mode=0o700, exist_ok=True)
    wanted = _Wanted(name, common_name, organizations, server_names, client=not server_names)
    _ensure_leaf(pki.pair(name), wanted, ca, ca_key, now)
    return pki.pair(name)


def _leaves(options: PkiOptions) -> Iterable[_Wanted]:
    node = options.node_name
    yield _Wanted("apiserver", "kube-apiserver", server_names=_api_server_names(options), client=False)
    yield _Wanted("apiserver-kubelet-client", "kube-apiserver-kubelet-client", (MASTERS,))
    yield _Wanted("admin", "kubernetes-admin", (MASTERS,))
    yield _Wanted("controllers", "system:kube-controller-manager")
    yield _Wanted("scheduler", "system:kube-scheduler")
    yield _Wanted("kubelet", f"system:node:{node}", ("system:nodes",))
    yield _Wanted("proxy", "system:kube-proxy")
    names = _distinct([node, "localhost", "127.0.0.1", "::1", *options.node_addresses])
    yield _Wanted("kubelet-server", f"system:node:{node}", ("system:nodes",), names, client=False)


def _api_server_names(options: PkiOptions) -> tuple[str, ...]:
    service = "kubernetes.default.svc"
    names = ["kubernetes", "kubernetes.default", service, f"{service}.{options.cluster_domain}", options.node_name]
    names += ["localhost", "127.0.0.1", "::1", first_service_address(options.service_cidr)]
    return _distinct([*names, *options.extra, *options.node_addresses])


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))


def _ensure_ca(pair: Pair, common_name: str, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    found = _load(pair)
    if found is not None and _left(found[0], now) > 0:
        return found
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = _builder(name, name, key, now, CA_LIFETIME)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(ca=True), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(common_name)]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    _store(pair, certificate, key)
    return certificate, key


def _ensure_leaf(
    pair: Pair, wanted: _Wanted, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    found = _load(pair)
    if found is not None and _fits(found[0], wanted, ca, now):
        return
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_subject(wanted), ca.subject, key, now, LIFETIME)
    usage = [ExtendedKeyUsageOID.SERVER_AUTH] * bool(wanted.server_names)
    usage += [ExtendedKeyUsageOID.CLIENT_AUTH] * wanted.client
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(ca=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    if wanted.server_names:
        names = x509.SubjectAlternativeName([_general_name(name) for name in wanted.server_names])
        builder = builder.add_extension(names, critical=False)
    _store(pair, builder.sign(ca_key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - BACKDATED).not_valid_after(now + lifetime)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _subject(wanted: _Wanted) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in wanted.organizations]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, wanted.common_name)])


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=ca,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _fits(certificate: x509.Certificate, wanted: _Wanted, ca: x509.Certificate, now: datetime) -> bool:
    """Whether a certificate can stay."""
    if certificate.subject != _subject(wanted) or _left(certificate, now) < RENEW_LEFT:
        return False
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    if not wanted.server_names:
        return True
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return set(names) >= {_general_name(name) for name in wanted.server_names}


def _left(certificate: x509.Certificate, now: datetime) -> float:
    """Which part of the lifetime is left; negative once it is over, and 0 before it has begun."""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < start:
        return 0.0
    return (end - now) / (end - start)


def _load(pair: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    """A certificate and its key; None if one is missing, unreadable, or they do not belong together."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.cert.read_bytes())
        key = serialization.load_pem_private_key(pair.key.read_bytes(), password=None)
    except (FileNotFoundError, ValueError, TypeError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    return certificate, key


def _store(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    write_atomically(pair.key, _private_pem(key))
    write_atomically(pair.cert, certificate.public_bytes(serialization.Encoding.PEM))


def _private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    # The older of the two common forms: every stock tool reads it.
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _ensure_service_account_key(pki: Pki) -> None:
    """The key that signs tokens; never replaced while readable, since that would end every token."""
    try:
        key = serialization.load_pem_private_key(pki.service_account_key.read_bytes(), password=None)
    except (FileNotFoundError, ValueError, TypeError):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        write_atomically(pki.service_account_key, _private_pem(key))
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    try:
        if pki.service_account_public_key.read_bytes() == public:
            return
    except FileNotFoundError:
        pass
    write_atomically(pki.service_account_public_key, public)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by a file that only its owner can read, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
