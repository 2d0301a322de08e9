"""Certificate requests, from asking to the signed certificate, against the API server in memory."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.controllers.cluster import Cluster
from tests.controllers.test_desired import NOW, ago
from tiphys.api import certificates_v1, meta_v1, rbac_v1
from tiphys.apiserver.security import seams
from tiphys.client import Client, InProcessTransport
from tiphys.controllers.certificates import desired, requests
from tiphys.controllers.config import Config
from tiphys.machinery import errors
from tiphys.wire.exchange import UserInfo

CSR = certificates_v1.CertificateSigningRequest


def _subject(common_name: str, *organizations: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def pem(common_name: str, *organizations: str, dns: tuple[str, ...] = ()) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(common_name, *organizations))
    if dns:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(d) for d in dns]), False)
    request = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def authority() -> tuple[str, str]:
    key, name, now = ec.generate_private_key(ec.SECP256R1()), _subject("ca"), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=3650))
    certificate = builder.add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


CLIENT = ["digital signature", "client auth"]
SERVER = ["digital signature", "key encipherment", "server auth"]
NODE = ("system:node:n1", "system:nodes")


@pytest.mark.parametrize(
    ("signer", "request_pem", "usages", "why"),
    [
        (requests.CLIENT, pem("bob"), CLIENT, ""),
        (requests.CLIENT, pem("bob"), SERVER, "invalid usage for client certificate: server auth"),
        (requests.CLIENT, pem("bob"), [], "missing required usage for client certificate: client auth"),
        (requests.KUBELET_CLIENT, pem(*NODE), CLIENT, ""),
        (requests.KUBELET_CLIENT, pem("bob"), CLIENT, "subject organization is not system:nodes"),
        (requests.KUBELET_CLIENT, pem(*NODE, dns=("a",)), CLIENT, "DNS subjectAltNames are not allowed"),
        (requests.KUBELET_SERVING, pem(*NODE, dns=("a",)), SERVER, ""),
        (requests.KUBELET_SERVING, pem(*NODE), SERVER, "at least one DNS or IP subjectAltName is required"),
        (requests.LEGACY, pem("anybody"), SERVER, ""),
    ],
)
def test_what_signers_demand(signer: str, request_pem: bytes, usages: list[str], why: str) -> None:
    assert requests.problem(signer, requests.asked(requests.load(request_pem)), usages) == why


@pytest.mark.parametrize(
    ("condition", "age", "certificate", "gone"),
    [
        (None, 23 * 3600, b"", False),
        (None, 25 * 3600, b"", True),
        ("Denied", 3700, b"", True),
        ("Denied", 3500, b"", False),
        ("Approved", 3700, b"", False),
        ("Approved", 3700, b"x", True),
        ("Failed", 3700, b"", True),
    ],
)
def test_old_requests_go(condition: str | None, age: float, certificate: bytes, gone: bool) -> None:
    found = CSR(metadata=meta_v1.ObjectMeta(name="r", creationTimestamp=ago(age)))
    if condition is not None:
        said = certificates_v1.CertificateSigningRequestCondition(
            type=condition, status="True", lastUpdateTime=ago(age)
        )
        found.status.conditions = [said]
    found.status.certificate = certificate or None
    assert (desired.seconds_left(found, NOW) <= 0) == gone


def csr(name: str, signer: str, request_pem: bytes, usages: list[str], seconds: int | None = None) -> CSR:
    spec = certificates_v1.CertificateSigningRequestSpec(
        request=request_pem, signerName=signer, usages=usages, expirationSeconds=seconds, username="liar"
    )
    return CSR(metadata=meta_v1.ObjectMeta(name=name), spec=spec)


@pytest.fixture
async def cluster():
    certificate, key = authority()
    async with Cluster(Config(root_ca=certificate, signing_key=key), seams=seams()) as found:
        yield found


async def _until(cluster: Cluster, condition: object) -> CSR:
    def there() -> CSR | None:
        return next((r for r in cluster.all(CSR) if condition(r)), None)  # type: ignore[operator]

    found: CSR = await cluster.until(there, CSR)
    return found


async def _approve(cluster: Cluster, client: Client, name: str) -> None:
    found = await client.of(CSR).get(name)
    found.status.conditions = [desired.condition("Approved", "Test", "", cluster.clock.now())]
    await client.of(CSR).update(found, subresource="approval")


async def test_approved_request_is_signed(cluster: Cluster) -> None:
    await cluster.create(csr("bob", requests.CLIENT, pem("bob", "devs"), CLIENT, 3600))
    made = await cluster.client.of(CSR).get("bob")
    assert made.spec.username != "liar" and made.status.certificate is None
    await _approve(cluster, cluster.client, "bob")
    done = await _until(cluster, lambda r: r.status.certificate)
    found = x509.load_pem_x509_certificate(done.status.certificate or b"")
    assert found.subject == _subject("bob", "devs")
    left = found.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(minutes=58) < left <= timedelta(hours=1)
    usages = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    found.verify_directly_issued_by(x509.load_pem_x509_certificate(cluster.config.root_ca.encode()))


async def test_what_a_signer_does_not_sign_fails(cluster: Cluster) -> None:
    await cluster.create(csr("bad", requests.CLIENT, pem("bob"), SERVER))
    await _approve(cluster, cluster.client, "bad")
    done = await _until(cluster, lambda r: desired.is_true(r, "Failed"))
    failed = [c for c in done.status.conditions or () if c.type == "Failed"]
    assert failed[0].reason == "SignerValidationFailure" and done.status.certificate is None


async def test_a_kubelet_is_approved_by_itself(cluster: Cluster) -> None:
    role = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"
    binding = rbac_v1.ClusterRoleBinding(
        metadata=meta_v1.ObjectMeta(name="renewal"),
        roleRef=rbac_v1.RoleRef(apiGroup="rbac.authorization.k8s.io", kind="ClusterRole", name=role),
        subjects=[rbac_v1.Subject(apiGroup="rbac.authorization.k8s.io", kind="Group", name="system:nodes")],
    )
    await cluster.create(binding)
    user = UserInfo("system:node:n1", groups=("system:nodes", "system:authenticated"))
    kubelet = Client(InProcessTransport(cluster.api.handle, user))
    await kubelet.of(CSR).create(csr("n1", requests.KUBELET_CLIENT, pem(*NODE), CLIENT))
    done = await _until(cluster, lambda r: r.status.certificate)
    assert done.spec.username == "system:node:n1"
    approved = [c for c in done.status.conditions or () if c.type == "Approved"]
    assert approved[0].reason == "AutoApproved" and "SubjectAccessReview" in (approved[0].message or "")


async def test_masters_are_not_given_out(cluster: Cluster) -> None:
    with pytest.raises(errors.Forbidden, match="system:masters group is not allowed"):
        await cluster.create(csr("evil", requests.CLIENT, pem("evil", "system:masters"), CLIENT))
