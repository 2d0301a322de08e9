"""What a certificate request asks for, and what each signer demands of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

PREFIX = "kubernetes.io/"
CLIENT = f"{PREFIX}kube-apiserver-client"
KUBELET_CLIENT = f"{PREFIX}kube-apiserver-client-kubelet"
KUBELET_SERVING = f"{PREFIX}kubelet-serving"
LEGACY = f"{PREFIX}legacy-unknown"
SIGNERS = (CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY)

NODES = "system:nodes"
NODE_PREFIX = "system:node:"
CLIENT_USAGES = ("digital signature", "key encipherment", "client auth")


@dataclass(frozen=True, slots=True)
class Asked:
    """The parts of a PKCS #10 request that signers look at."""

    common_name: str
    organizations: tuple[str, ...]
    dns: tuple[str, ...]
    ips: tuple[str, ...]
    emails: tuple[str, ...]
    uris: tuple[str, ...]


def load(pem: bytes) -> x509.CertificateSigningRequest:
    """Raises ValueError if it cannot be read or is not signed by its own key."""
    request = x509.load_pem_x509_csr(pem)
    if not request.is_signature_valid:
        raise ValueError("x509: the signature of the request is not valid")
    return request


def asked(request: x509.CertificateSigningRequest) -> Asked:
    def subject(oid: x509.ObjectIdentifier) -> tuple[str, ...]:
        return tuple(str(part.value) for part in request.subject.get_attributes_for_oid(oid))

    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    common = subject(NameOID.COMMON_NAME)
    return Asked(
        common[0] if common else "",
        subject(NameOID.ORGANIZATION_NAME),
        tuple(names.get_values_for_type(x509.DNSName)),
        tuple(str(address) for address in names.get_values_for_type(x509.IPAddress)),
        tuple(names.get_values_for_type(x509.RFC822Name)),
        tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
    )


def problem(signer: str, wanted: Asked, usages: Sequence[str]) -> str:
    """Why ``signer`` does not sign this; empty if it does."""
    match signer:
        case "kubernetes.io/kube-apiserver-client":
            return _client_problem(usages)
        case "kubernetes.io/kube-apiserver-client-kubelet":
            return kubelet_client_problem(wanted, usages)
        case "kubernetes.io/kubelet-serving":
            return _kubelet_serving_problem(wanted, usages)
    return ""


def _client_problem(usages: Sequence[str]) -> str:
    for usage in usages:
        if usage not in CLIENT_USAGES:
            return f"invalid usage for client certificate: {usage}"
    if "client auth" not in usages:
        return "missing required usage for client certificate: client auth"
    return ""


def kubelet_client_problem(wanted: Asked, usages: Sequence[str]) -> str:
    if wanted.organizations != (NODES,):
        return f"subject organization is not {NODES}"
    for values, kind in ((wanted.dns, "DNS"), (wanted.emails, "email"), (wanted.ips, "IP"), (wanted.uris, "URI")):
        if values:
            return f"{kind} subjectAltNames are not allowed"
    if not wanted.common_name.startswith(NODE_PREFIX):
        return f"subject common name does not begin with {NODE_PREFIX}"
    return _usage_problem(usages, "client auth")


def _kubelet_serving_problem(wanted: Asked, usages: Sequence[str]) -> str:
    if wanted.organizations != (NODES,):
        return f"subject organization is not {NODES}"
    if not wanted.dns and not wanted.ips:
        return "at least one DNS or IP subjectAltName is required"
    for values, kind in ((wanted.emails, "email"), (wanted.uris, "URI")):
        if values:
            return f"{kind} subjectAltNames are not allowed"
    if not wanted.common_name.startswith(NODE_PREFIX):
        return f"subject common name does not begin with {NODE_PREFIX}"
    return _usage_problem(usages, "server auth")


def _usage_problem(usages: Sequence[str], purpose: str) -> str:
    short = {"digital signature", purpose}
    if {*usages} in (short, short | {"key encipherment"}):
        return ""
    listed = " ".join(sorted(short | {"key encipherment"}))
    return f"usages did not match [{listed}]"
