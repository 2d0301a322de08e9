"""The encryption configuration file: what is wrong with it, in Kubernetes' words, all at once."""

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiphys.apiserver.encryption.config import ConfigError, load, masked

KEY = base64.b64encode(b"k" * 32).decode()
GOOD = {"name": "key1", "secret": KEY}


def written(tmp_path: Path, rules: Any) -> str:
    path = tmp_path / "encryption.yaml"
    kind = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": rules}
    path.write_text(yaml.safe_dump(kind))
    return str(path)


def rule(*resources: str, **provider: Any) -> dict[str, Any]:
    return {"resources": list(resources), "providers": [provider]}


MASKED = "they will be masked"
ROWS = {
    "none": ([], "resources: Required value: at least one resources is required"),
    "no resource": (
        [rule(identity={})],
        "resources[0].resources: Required value: at least one resources[0].resources is required",
    ),
    "no provider": (
        [{"resources": ["secrets"]}],
        "resources[0].providers: Required value: at least one resources[0].providers is required",
    ),
    "two in one": (
        [rule("secrets", identity={}, aescbc={"keys": [GOOD]})],
        "more than one provider specified in a single element, should split into different list elements",
    ),
    "empty provider": ([rule("secrets")], "provider does not contain any of the expected providers"),
    "no keys": (
        [rule("secrets", aescbc={})],
        "resources[0].providers[0].aescbc.keys: Required value: at least one keys is required",
    ),
    "key without name": (
        [rule("secrets", aesgcm={"keys": [{"secret": KEY}]})],
        "resources[0].providers[0].aesgcm.keys[0].name: Required value: name is a mandatory field for a key",
    ),
    "key without secret": (
        [rule("secrets", aesgcm={"keys": [{"name": "a"}]})],
        "resources[0].providers[0].aesgcm.keys[0].secret: Required value: secret is a mandatory field for a key",
    ),
    "not base64": (
        [rule("secrets", secretbox={"keys": [{"name": "a", "secret": "?"}]})],
        'resources[0].providers[0].secretbox.keys[0].secret: Invalid value: "REDACTED": secrets must be base64 encoded',
    ),
    "short key": (
        [rule("secrets", aescbc={"keys": [{"name": "a", "secret": "YWJj"}]})],
        'resources[0].providers[0].aescbc.keys[0].secret: Invalid value: "REDACTED": secret is not of the expected '
        "length, got 3, expected one of [16 24 32]",
    ),
    "secretbox key": (
        [rule("secrets", secretbox={"keys": [{"name": "a", "secret": "YWJj"}]})],
        "secret is not of the expected length, got 3, expected one of [32]",
    ),
    "twice": ([rule("secrets", "secrets", identity={})], "the same resource cannot be specified multiple times"),
    "overlap with all": ([rule("secrets", "*.*", identity={})], MASKED),
    "overlap with group": ([rule("deployments.apps", "*.apps", identity={})], MASKED),
    "capitals": ([rule("Secrets", identity={})], "resource name should not contain capital letters"),
    "star": ([rule("*", identity={})], "use '*.' to encrypt all the resources from core API group or *.*"),
    "events": ([rule("*.events.k8s.io", identity={})], "Use 'events' instead in the config file"),
    "extensions": ([rule("*.extensions", identity={})], "'extensions' group has been removed"),
    "across groups": ([rule("secrets.*", identity={})], "encrypting the same resource across groups is not supported"),
    "no REST": ([rule("apiserveripinfo", identity={})], "resources which do not have REST API/s cannot be encrypted"),
    "kms v1": (
        [rule("secrets", kms={"name": "a", "endpoint": "unix:///a"})],
        "KMS API v1 is deprecated and not supported: use apiVersion v2",
    ),
    "kms scheme": (
        [rule("secrets", kms={"apiVersion": "v2", "name": "a", "endpoint": "tcp://a"})],
        'unsupported scheme "tcp" for KMS provider, only unix is supported',
    ),
    "kms name": (
        [rule("secrets", kms={"apiVersion": "v2", "name": "a:b", "endpoint": "unix:///a"})],
        "invalid KMS provider name a:b, must not contain ':'",
    ),
    "kms cache": (
        [rule("secrets", kms={"apiVersion": "v2", "name": "a", "endpoint": "unix:///a", "cachesize": 5})],
        "cachesize is not supported in v2",
    ),
    "kms timeout": (
        [rule("secrets", kms={"apiVersion": "v2", "name": "a", "endpoint": "unix:///a", "timeout": "0s"})],
        "timeout should be a positive value",
    ),
    "kms twice": (
        [rule(name, kms={"apiVersion": "v2", "name": "a", "endpoint": "unix:///a"}) for name in ("secrets", "pods")],
        "duplicate KMS provider name a, names must be unique",
    ),
}


@pytest.mark.parametrize(("rules", "text"), ROWS.values(), ids=ROWS)
def test_what_is_wrong_is_said(rules: Any, text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load(written(tmp_path, rules))
    assert text in str(refused.value)


def test_several_problems_come_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^\[resources\[0\].*, resources\[1\]"):
        load(written(tmp_path, [rule("Secrets", identity={}), rule("*", identity={})]))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="error opening encryption provider configuration file"):
        load(str(tmp_path / "missing"))
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(ConfigError, match="is empty"):
        load(str(path))
    path.write_text("kind: Pod\n")
    with pytest.raises(ConfigError, match="got unexpected config type: , Kind=Pod"):
        load(str(path))
    path.write_text("kind: EncryptionConfiguration\nunknown: 1\n")
    with pytest.raises(ConfigError, match=r"error decoding encryption provider configuration file .*unknown"):
        load(str(path))


def test_a_rule_behind_a_wildcard_is_refused(tmp_path: Path) -> None:
    configuration = load(written(tmp_path, [rule("*.*", identity={}), rule("secrets", identity={})]))
    with pytest.raises(ConfigError, match=r'resource "secrets" is masked by earlier rule "\*\.\*"'):
        masked(configuration.resources)
    configuration = load(written(tmp_path, [rule("secrets", identity={}), rule("*.*", identity={})]))
    assert set(masked(configuration.resources)) == {("", "secrets"), ("*", "*")}
