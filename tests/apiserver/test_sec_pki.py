"""Certificates: what is valid stays, what is not is renewed. Kubeconfigs: foreign entries stay."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from tiphys.apiserver import kubeconfig, pki

NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)


class Clock:
    def __init__(self, now: datetime = NOW) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def contents(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir()}


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name.partition(".")[0] for name in after if before.get(name) != after[name]}


def test_everything_is_made_and_stays(tmp_path: Path) -> None:
    options = pki.PkiOptions("n1")
    made = pki.ensure(tmp_path, options, Clock())
    before = contents(tmp_path)
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in tmp_path.iterdir())
    assert pki.ensure(tmp_path, options, Clock()) == made
    assert contents(tmp_path) == before
    certificate = x509.load_pem_x509_certificate(made.admin.cert.read_bytes())
    assert certificate.subject.rfc4514_string() == "CN=kubernetes-admin,O=system:masters"


def test_stock_tls_accepts_them(tmp_path: Path) -> None:
    made = pki.ensure(tmp_path, pki.PkiOptions("n1"))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(made.ca))
    server.load_cert_chain(made.apiserver.cert, made.apiserver.key)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(made.ca))
    client.load_cert_chain(made.admin.cert, made.admin.key)
    from_client, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, from_client, server_hostname="kubernetes.default.svc")
    other = server.wrap_bio(from_client, to_client, server_side=True)
    for end in (one, other, one, other):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert other.getpeercert() is not None


@pytest.mark.parametrize(
    ("options", "later", "renewed"),
    [
        (pki.PkiOptions("n1"), timedelta(days=100), set()),
        (
            pki.PkiOptions("n1"),
            timedelta(days=330),
            {
                "apiserver",
                "apiserver-kubelet-client",
                "admin",
                "controllers",
                "scheduler",
                "kubelet",
                "proxy",
                "kubelet-server",
                "front-proxy-client",
            },
        ),
        (pki.PkiOptions("n1", service_cidr="10.97.0.0/16"), timedelta(0), {"apiserver"}),
        (pki.PkiOptions("n1", extra=("k.example",)), timedelta(0), {"apiserver"}),
        (pki.PkiOptions("n2"), timedelta(0), {"apiserver", "kubelet", "kubelet-server"}),
    ],
)
def test_renewal(tmp_path: Path, options: pki.PkiOptions, later: timedelta, renewed: set[str]) -> None:
    pki.ensure(tmp_path, pki.PkiOptions("n1"), Clock())
    before = contents(tmp_path)
    pki.ensure(tmp_path, options, Clock(NOW + later))
    assert changed(before, contents(tmp_path)) == renewed


def test_a_lost_or_foreign_key_is_renewed(tmp_path: Path) -> None:
    made = pki.ensure(tmp_path, pki.PkiOptions("n1"), Clock())
    before = contents(tmp_path)
    made.admin.key.write_bytes(made.proxy.key.read_bytes())
    made.scheduler.cert.write_bytes(b"nonsense")
    made.kubelet.key.unlink()
    pki.ensure(tmp_path, pki.PkiOptions("n1"), Clock())
    assert changed(before, contents(tmp_path)) == {"admin", "scheduler", "kubelet"}
    before = contents(tmp_path)
    (tmp_path / "ca.key").unlink()
    pki.ensure(tmp_path, pki.PkiOptions("n1"), Clock())
    assert not changed(before, contents(tmp_path)) & {"sa"}
    assert len(changed(before, contents(tmp_path))) == 9


def access() -> kubeconfig.Access:
    return kubeconfig.Access("https://127.0.0.1:6443", b"ca", b"cert", b"key")


def test_kubeconfig_keeps_what_is_not_ours(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "config"
    kubeconfig.merge(target, "one", access())
    config = yaml.safe_load(target.read_text())
    config["users"].append({"name": "foreign", "user": {"exec": {"command": "x"}}})
    config["extensions"] = [{"name": "e"}]
    target.write_text(yaml.safe_dump(config))
    kubeconfig.merge(target, "two", access())
    kubeconfig.merge(target, "two", access())
    config = yaml.safe_load(target.read_text())
    assert [entry["name"] for entry in config["users"]] == ["one", "foreign", "two"]
    assert config["current-context"] == "two"
    assert config["extensions"] == [{"name": "e"}]
    assert target.stat().st_mode & 0o777 == 0o600
    assert kubeconfig.remove(target, "two")
    assert not kubeconfig.remove(target, "two")
    config = yaml.safe_load(target.read_text())
    assert [entry["name"] for entry in config["contexts"]] == ["one"]
    assert config["current-context"] == ""


@pytest.mark.parametrize("text", ["[1]", "a: [", "clusters: 1", "users: [1]", "plain"])
def test_kubeconfig_refuses_nonsense(tmp_path: Path, text: str) -> None:
    target = tmp_path / "config"
    target.write_text(text)
    with pytest.raises(kubeconfig.KubeconfigError):
        kubeconfig.merge(target, "one", access())
    assert target.read_text() == text


def test_kubeconfig_path() -> None:
    assert kubeconfig.path("/a", {"KUBECONFIG": "/b"}) == Path("/a")
    assert kubeconfig.path(None, {"KUBECONFIG": ":/b:/c"}) == Path("/b")
    assert kubeconfig.path(None, {}) == Path.home() / ".kube" / "config"
