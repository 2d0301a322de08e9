"""How a certificate request stands, and when it is no longer of interest. Pure."""

from datetime import datetime, timedelta

from cryptography import x509

from tiphys.api import certificates_v1
from tiphys.machinery import conditions, times

Request = certificates_v1.CertificateSigningRequest

PENDING = timedelta(hours=24)
DECIDED = timedelta(hours=1)


def is_true(request: Request, kind: str) -> bool:
    return conditions.is_true(request.status.conditions, kind)


def is_undecided(request: Request) -> bool:
    return not is_true(request, "Approved") and not is_true(request, "Denied")


def may_be_signed(request: Request) -> bool:
    """Approved, and nobody has signed it or said that they will not."""
    return (
        is_true(request, "Approved")
        and not is_true(request, "Denied")
        and not is_true(request, "Failed")
        and not request.status.certificate
    )


def condition(
    kind: str, reason: str, message: str, now: datetime
) -> certificates_v1.CertificateSigningRequestCondition:
    stamp = times.format_time(now)
    return certificates_v1.CertificateSigningRequestCondition(
        type=kind, status="True", reason=reason, message=message, lastUpdateTime=stamp, lastTransitionTime=stamp
    )


def seconds_left(request: Request, now: datetime) -> float:
    """Until the request is removed; 0 or less: now."""
    ends = [times.parse(request.metadata.creationTimestamp or times.format_time(now)) + PENDING]
    for found in request.status.conditions or ():
        since = found.lastUpdateTime or found.lastTransitionTime
        waits = found.type == "Approved" and not request.status.certificate
        if since is not None:
            end = times.parse(since) + (PENDING if waits else DECIDED)
            # What is decided need not wait for the day to be over; what waits to be signed gets a day of its own.
            ends = [end] if waits else [*ends, end]
    if request.status.certificate:
        ends += _end_of(request.status.certificate)
    return (min(ends) - now).total_seconds()


def _end_of(pem: bytes) -> list[datetime]:
    try:
        return [x509.load_pem_x509_certificate(pem).not_valid_after_utc]
    except ValueError:
        # Another signer's, in a form that we do not know.
        return []
