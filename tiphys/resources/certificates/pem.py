"""What is wrong with a bundle of authorities' certificates."""

import base64
import binascii
import re
from collections.abc import Iterator

BLOCK = re.compile(r"-----BEGIN ([^-\n]+)-----\n(.*?)-----END \1-----", re.DOTALL)


def problems(text: str) -> Iterator[str]:
    """Sentences, at most one per fault. Whether a certificate can be parsed is asked of ``cryptography``."""
    # Heavy, and only clusters that use bundles need it.
    from cryptography import x509  # noqa: PLC0415

    seen: set[bytes] = set()
    found = 0
    for kind, body in BLOCK.findall(text):
        found += 1
        if kind != "CERTIFICATE":
            yield f"entry {found - 1} has bad block type: {kind}"
            continue
        try:
            der = base64.b64decode("".join(body.split()), validate=True)
            x509.load_der_x509_certificate(der)
        except (binascii.Error, ValueError):
            yield f"entry {found - 1} does not parse as X.509"
            continue
        if der in seen:
            yield "duplicate trust anchor"
        seen.add(der)
    if not found:
        yield "at least one trust anchor must be provided"
