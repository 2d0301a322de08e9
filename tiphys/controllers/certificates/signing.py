"""The certificate that a request gets. Pure, but for the serial number's chance."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

#: Kubernetes' ``--cluster-signing-duration``.
LONGEST = timedelta(days=365)
#: Clocks of others may be behind ours.
BACKDATED = timedelta(minutes=5)

_KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_PURPOSES = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
}


class Authority:
    """A certificate and key in PEM; ValueError if they are not of a kind that can sign."""

    def __init__(self, certificate: str, key: str) -> None:
        self._certificate = x509.load_pem_x509_certificate(certificate.encode())
        private = serialization.load_pem_private_key(key.encode(), None)
        if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ValueError("the authority's key is neither RSA nor of an elliptic curve")
        self._key = private

    def sign(
        self,
        request: x509.CertificateSigningRequest,
        usages: Sequence[str],
        seconds: int | None,
        now: datetime,
    ) -> bytes:
        """PEM, valid for ``seconds`` but no longer than a year or than the authority. ValueError on unknown usages."""
        lifetime = min(LONGEST, timedelta(seconds=seconds)) if seconds is not None else LONGEST
        end = min(now + lifetime, self._certificate.not_valid_after_utc)
        key = request.public_key()
        builder = (
            x509.CertificateBuilder()
            .issuer_name(self._certificate.subject)
            .subject_name(request.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        for extension, critical in _usages(usages):
            builder = builder.add_extension(extension, critical)
        try:
            names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            builder = builder.add_extension(names.value, names.critical)
        except x509.ExtensionNotFound:
            pass
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)


def _usages(usages: Sequence[str]) -> list[tuple[x509.ExtensionType, bool]]:
    unknown = [usage for usage in usages if usage not in _KEY_USAGES and usage not in _PURPOSES]
    if unknown:
        raise ValueError(f"unrecognized usage values: {unknown}")
    flags = dict.fromkeys(_KEY_USAGES.values(), False)
    flags |= {_KEY_USAGES[usage]: True for usage in usages if usage in _KEY_USAGES}
    if not flags["key_agreement"]:
        # Without key agreement these mean nothing, and are refused.
        flags["encipher_only"] = flags["decipher_only"] = False
    found: list[tuple[x509.ExtensionType, bool]] = []
    if any(flags.values()):
        found.append((x509.KeyUsage(**flags), True))
    purposes = [_PURPOSES[usage] for usage in usages if usage in _PURPOSES]
    if purposes:
        found.append((x509.ExtendedKeyUsage(purposes), False))
    return found
