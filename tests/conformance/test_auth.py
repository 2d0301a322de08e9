"""Certificate requests, service accounts, reviews."""

import base64
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.apiserver.policies.written import Policies as Api
from tests.apiserver.secure import Secure, secured
from tests.apiserver.webhooks.server import certificate
from tests.conformance.test_operations import condition
from tests.conformance.walking import EVERY_VERB, SELECTOR, Walk, discovered

CORE = "/api/v1/namespaces/default"


def request() -> str:
    """A request for a certificate, as the API carries it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "e2e-example.com")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    made = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


async def test_csrs(api: Api, tmp_path: Path) -> None:
    """[sig-auth] Certificates API [Privileged:ClusterAdmin] should support CSR API operations [Conformance]"""
    name = "certificatesigningrequests"
    verbs = await discovered(api, "certificates.k8s.io", "v1", name, f"{name}/approval", f"{name}/status")
    assert verbs[name] >= EVERY_VERB
    assert verbs[f"{name}/approval"] >= {"get", "patch", "update"}
    assert verbs[f"{name}/status"] >= {"get", "patch", "update"}
    body = {"spec": {"request": request(), "signerName": "example.com/e2e", "usages": ["client auth"]}}
    walk = Walk(api, f"/apis/certificates.k8s.io/v1/{name}", body)
    await walk.operations()

    signed = base64.b64encode(certificate(tmp_path)[1]).decode()
    made = await walk.create("a")
    approval = condition(type="ApprovalPatch")
    found = await walk.annotate("a", "patchedapproval", "/approval", status={"conditions": [approval]})
    assert [one["type"] for one in found["status"]["conditions"]] == ["ApprovalPatch"]
    found["status"]["conditions"].append(condition(type="Approved"))
    found = await api.ok("PUT", f"{walk.path}/a/approval", found)
    assert [one["type"] for one in found["status"]["conditions"]] == ["ApprovalPatch", "Approved"]
    await walk.annotate("a", "patchedstatus", "/status", status={"certificate": signed})
    found = await walk.get("a", "/status")
    assert found["status"]["certificate"] == signed
    found["status"]["conditions"].append(condition(type="StatusUpdate"))
    found = await api.ok("PUT", f"{walk.path}/a/status", found)
    assert [one["type"] for one in found["status"]["conditions"]] == ["ApprovalPatch", "Approved", "StatusUpdate"]
    assert found["metadata"]["uid"] == made["metadata"]["uid"]


async def test_a_service_account_lives(api: Api) -> None:
    """[sig-auth] ServiceAccounts should run through the lifecycle of a ServiceAccount [Conformance]"""
    walk = Walk(api, f"{CORE}/serviceaccounts", {}, "/api/v1/serviceaccounts")
    async with api.watching(walk.path, labelSelector=SELECTOR) as lines:
        await walk.create("robot")
        assert (await lines.wait(1))[0]["type"] == "ADDED"
        found = await walk.patch("robot", {"automountServiceAccountToken": False})
        assert found["automountServiceAccountToken"] is False
        listed = await api.ok("GET", walk.everywhere, query={"labelSelector": SELECTOR})
        assert [one["automountServiceAccountToken"] for one in listed["items"]] == [False]
        await walk.clear()
        assert [one["type"] for one in await lines.wait(3)] == ["ADDED", "MODIFIED", "DELETED"]


async def test_a_service_account_is_updated(api: Api) -> None:
    """[sig-auth] ServiceAccounts should update a ServiceAccount [Conformance]"""
    walk = Walk(api, f"{CORE}/serviceaccounts", {})
    made = await walk.create("robot")
    assert "automountServiceAccountToken" not in made
    found = await api.ok("PUT", f"{walk.path}/robot", made | {"automountServiceAccountToken": True})
    assert found["automountServiceAccountToken"] is True


async def test_a_token_is_made_and_reviewed(tmp_path: Path) -> None:
    """[sig-auth] ServiceAccounts should create a serviceAccountToken and ensure a successful TokenReview
    [Conformance]"""
    async with secured(tmp_path) as secure:
        account = await secure.add_account("robot")
        made = await secure.ok("POST", f"{CORE}/serviceaccounts/robot/token", {"spec": {}})
        assert made["status"]["token"]
        review = {"spec": {"token": made["status"]["token"]}}
        found = await secure.ok("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
        assert found["status"]["authenticated"] is True
        assert "error" not in found["status"]
        assert found["status"]["user"]["username"] == "system:serviceaccount:default:robot"
        assert found["status"]["user"]["uid"] == account["metadata"]["uid"]


async def test_who_issues_tokens_is_told(tmp_path: Path) -> None:
    """[sig-auth] ServiceAccounts ServiceAccountIssuerDiscovery should support OIDC discovery of service account issuer
    [Conformance]"""
    async with secured(tmp_path) as secure:
        await secure.add_account("robot")
        made = await secure.ok("POST", f"{CORE}/serviceaccounts/robot/token", {"spec": {"audiences": ["oidc-test"]}})
        await _judge(secure, made["status"]["token"])


async def _judge(secure: Secure, token: str) -> None:
    """What a program does that is given a token and the address of the server."""
    import jwt

    bearer = await secure.ok("POST", f"{CORE}/serviceaccounts/robot/token", {"spec": {}})
    as_robot: dict[str, Any] = {
        "anonymous": True,
        "headers": {"Authorization": f"Bearer {bearer['status']['token']}"},
    }
    document = await secure.ok("GET", "/.well-known/openid-configuration", **as_robot)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert document["issuer"] == claims["iss"]
    assert document["response_types_supported"] == ["id_token"]
    assert document["subject_types_supported"] == ["public"]
    keys = await secure.ok("GET", "/openid/v1/jwks", **as_robot)
    key_id = jwt.get_unverified_header(token)["kid"]
    key = next(one for one in keys["keys"] if one["kid"] == key_id)
    found = jwt.decode(token, jwt.PyJWK(key).key, algorithms=[key["alg"]], audience="oidc-test")
    assert found["sub"] == "system:serviceaccount:default:robot"
    assert found["kubernetes.io"]["serviceaccount"]["name"] == "robot"


async def test_reviews_agree_with_what_happens(tmp_path: Path) -> None:
    """[sig-auth] SubjectReview should support SubjectReview API operations [Conformance]"""
    async with secured(tmp_path) as secure:
        await secure.add_account("robot")
        user = "system:serviceaccount:default:robot"
        attributes = {"verb": "list", "resource": "configmaps", "version": "v1", "namespace": "default"}
        for allowed in (False, True):
            status, _ = await secure.call("GET", f"{CORE}/configmaps", headers={"Impersonate-User": user})
            assert (status == 200) is allowed
            root, spec = "/apis/authorization.k8s.io/v1", {"user": user, "resourceAttributes": attributes}
            found = await secure.ok("POST", f"{root}/subjectaccessreviews", {"spec": spec})
            assert found["status"]["allowed"] is allowed
            local = {"metadata": {"namespace": "default"}, "spec": spec}
            found = await secure.ok("POST", f"{root}/namespaces/default/localsubjectaccessreviews", local)
            assert found["status"]["allowed"] is allowed
            if not allowed:
                await _let_view(secure)


async def _let_view(secure: Secure) -> None:
    api_group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": "robot-views"},
        "roleRef": {"apiGroup": api_group, "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}],
    }
    await secure.ok("POST", f"/apis/{api_group}/v1/namespaces/default/rolebindings", binding)


MOUNTED = [(None, None, True), (None, True, True), (None, False, False)]
MOUNTED += [(True, None, True), (True, True, True), (True, False, True)]
MOUNTED += [(False, None, False), (False, True, False), (False, False, False)]


async def test_tokens_are_mounted_unless_one_does_not_want_them(api: Api) -> None:
    """[sig-auth] ServiceAccounts should allow opting out of API token automount [Conformance]"""
    for number, (pod, account, mounted) in enumerate(MOUNTED):
        name = f"robot-{number}"
        given = {} if account is None else {"automountServiceAccountToken": account}
        await api.ok("POST", f"{CORE}/serviceaccounts", {"metadata": {"name": name}, **given})
        spec = {"serviceAccountName": name, "containers": [{"name": "c", "image": "i"}]}
        spec |= {} if pod is None else {"automountServiceAccountToken": pod}
        made = await api.ok("POST", f"{CORE}/pods", {"metadata": {"name": name}, "spec": spec})
        mounts = [one["mountPath"] for one in made["spec"]["containers"][0].get("volumeMounts", ())]
        assert ("/var/run/secrets/kubernetes.io/serviceaccount" in mounts) is mounted, (pod, account)


def test_every_namespace_has_the_authority(cluster: Any) -> None:
    """[sig-auth] ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace [Conformance]"""
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}})
    for namespace in ("default", "new"):
        first = cluster.get("configmap/kube-root-ca.crt", namespace)
        cluster.delete("configmap/kube-root-ca.crt", namespace)
        again = cluster.get("configmap/kube-root-ca.crt", namespace)
        assert again.metadata.uid != first.metadata.uid
        cluster.patch("configmap/kube-root-ca.crt", {"data": {"ca.crt": "changed"}}, namespace)
        assert cluster.get("configmap/kube-root-ca.crt", namespace).data == first.data
