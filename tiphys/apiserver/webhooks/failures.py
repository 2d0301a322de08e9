"""What a failed call is called: users search for these sentences.

Source: client-go's handling of responses and Go's net, net/http and crypto/x509, by their messages.
"""

import errno
import ssl
from collections.abc import Mapping
from typing import Final

from tiphys.machinery import codec, errors
from tiphys.machinery.goformat import quote

REFUSED: Final[Mapping[int, str]] = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    406: "the server was unable to respond with a content type that the client supports",
    409: "the server reported a conflict",
    415: "the body of the request was in an unknown format - accepted media types include: ",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: ("the server was unable to return a response in the time allotted, but may still be processing the request"),
}
#: By OpenSSL's number of what it found wrong with a chain.
CERTIFICATES: Final[Mapping[int, str]] = {
    9: "x509: certificate has expired or is not yet valid",
    10: "x509: certificate has expired or is not yet valid",
    18: "x509: certificate signed by unknown authority",
    19: "x509: certificate signed by unknown authority",
    20: "x509: certificate signed by unknown authority",
    21: "x509: certificate signed by unknown authority",
}
HOSTNAME_MISMATCH: Final = 62
CONNECTING: Final[Mapping[int, str]] = {
    errno.ECONNREFUSED: "connect: connection refused",
    errno.EHOSTUNREACH: "connect: no route to host",
    errno.ENETUNREACH: "connect: network is unreachable",
    errno.ETIMEDOUT: "connect: connection timed out",
}


def of_answer(code: int, body: bytes) -> str:
    """The sentence about an answer that is no success; a Status in the body speaks for itself."""
    text = body.decode(errors="replace")
    try:
        found = codec.decode_builtins(body)
    except codec.DecodeError:
        found = None
    if isinstance(found, dict) and found.get("kind") == "Status" and found.get("message"):
        return str(found["message"])
    if code == 403 and text:
        return text
    if code in REFUSED:
        return REFUSED[code]
    if code >= 500:
        return f"an error on the server ({quote(text.strip() or 'unknown')}) has prevented the request from succeeding"
    return f"the server responded with the status code {code} but did not return more information"


def of_certificate(problem: ssl.SSLCertVerificationError, server_name: str) -> str:
    """The sentence about a certificate that does not hold."""
    if problem.verify_code == HOSTNAME_MISMATCH:
        return f"tls: failed to verify certificate: x509: certificate is not valid for {server_name}"
    known = CERTIFICATES.get(problem.verify_code)
    return f"tls: failed to verify certificate: {known or f'x509: {problem.verify_message}'}"


def of_connection(problem: OSError, host: str, port: int) -> str:
    """The sentence about a connection that could not be made."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"dial tcp {address}: {CONNECTING.get(problem.errno or 0, str(problem.strerror or problem))}"


def status_of(code: int, text: str) -> errors.StatusError:
    """The refusal as an error, for those who want its code."""
    return errors.UnknownError(text, None, code, errors.BY_CODE[code].reason if code in errors.BY_CODE else "")
