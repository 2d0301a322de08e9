"""Volumes: the files they hold, how these change, and where containers see them."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.kubelet.conftest import Node, container, eventually, is_ready, pod
from tiphys.api import core_v1
from tiphys.kubelet import downward
from tiphys.kubelet.environment import ConfigError
from tiphys.kubelet.volumes import manager, payload, plan, writer
from tiphys.kubelet.volumes.payload import File, Token
from tiphys.machinery import codec

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Objects:
    def config_map(self, name: str) -> core_v1.ConfigMap | None:
        return core_v1.ConfigMap(data={"a": "1", "b": "2"}) if name == "cm" else None

    def secret(self, name: str) -> core_v1.Secret | None:
        return core_v1.Secret(data={"s": b"\x00x"}) if name == "sec" else None


def files_of(volume: dict[str, Any], **spec: Any) -> payload.Payload:
    found = payload.payload(
        downward.Itself(pod(**spec), ("10.0.0.1",)),
        codec.convert(core_v1.Volume, {"name": "v", **volume}),
        Objects(),
        {("", 3600): Token(b"tok")},
    )
    assert found is not None
    return found


def test_config_map_with_and_without_items() -> None:
    assert files_of({"configMap": {"name": "cm"}}) == {"a": File(b"1", 0o644), "b": File(b"2", 0o644)}
    items = [{"key": "a", "path": "deep/x", "mode": 0o400}]
    assert files_of({"configMap": {"name": "cm", "items": items}}) == {"deep/x": File(b"1", 0o400)}


def test_missing_objects_and_keys() -> None:
    assert files_of({"secret": {"secretName": "none", "optional": True}}) == {}
    with pytest.raises(payload.PayloadError, match='secret "none" not found'):
        files_of({"secret": {"secretName": "none"}})
    with pytest.raises(payload.PayloadError, match="configmap references non-existent config key: z"):
        files_of({"configMap": {"name": "cm", "items": [{"key": "z", "path": "z"}]}})


def test_projected_token_is_for_its_user() -> None:
    sources = {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}, {"configMap": {"name": "cm"}}]}}
    assert files_of(sources)["token"] == File(b"tok", 0o644)
    assert files_of(sources, securityContext={"runAsUser": 7})["token"] == File(b"tok", 0o600, 7)
    assert files_of(sources, securityContext={"fsGroup": 7})["token"] == File(b"tok", 0o600)


def test_writer_layout_and_update(tmp_path: Path) -> None:
    assert writer.write(tmp_path, {"a": File(b"1", 0o644), "d/b": File(b"2", 0o600)}, NOW)
    assert os.readlink(tmp_path / "a") == "..data/a"
    assert os.readlink(tmp_path / "d") == "..data/d"
    assert (tmp_path / "d/b").read_bytes() == b"2"
    assert (tmp_path / "d/b").stat().st_mode & 0o777 == 0o600
    first = os.readlink(tmp_path / "..data")
    assert first.startswith("..2026_01_01_00_00_00.")
    assert not writer.write(tmp_path, {"a": File(b"1", 0o644), "d/b": File(b"2", 0o600)}, NOW)
    assert os.readlink(tmp_path / "..data") == first
    assert writer.write(tmp_path, {"a": File(b"new", 0o644)}, NOW)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("..")) == ["a"]
    assert not (tmp_path / first).exists()


def test_writer_refuses_to_leave_its_directory(tmp_path: Path) -> None:
    for path in ("/a", "../a", "x/../../a", "..a", ""):
        with pytest.raises(ValueError):
            writer.write(tmp_path, {path: File(b"", 0o644)}, NOW)


def test_host_path_types(tmp_path: Path) -> None:
    manager.host_path(core_v1.HostPathVolumeSource(path=str(tmp_path / "new/er"), type="DirectoryOrCreate"))
    assert (tmp_path / "new/er").is_dir()
    manager.host_path(core_v1.HostPathVolumeSource(path=str(tmp_path / "file"), type="FileOrCreate"))
    assert (tmp_path / "file").is_file()
    path = str(tmp_path / "file")
    with pytest.raises(payload.PayloadError, match=f"hostPath type check failed: {path} is not a directory"):
        manager.host_path(core_v1.HostPathVolumeSource(path=path, type="Directory"))


def mounts(tmp_path: Path, **mount: Any) -> plan.PlannedMount:
    volumes = {"v": plan.PlannedVolume("v", "emptyDir", tmp_path, core_v1.Volume(name="v"))}
    spec = pod(containers=[container(volumeMounts=[{"name": "v", "mountPath": "/data", **mount}])]).spec.containers[0]
    return plan.planned_mounts(spec, volumes, {"NAME": "x"})[0]


def test_sub_paths(tmp_path: Path) -> None:
    assert mounts(tmp_path, subPath="a/b").host_path == tmp_path / "a/b"
    assert mounts(tmp_path, subPathExpr="$(NAME)/y").host_path == tmp_path / "x/y"
    for bad in ({"subPath": "/a"}, {"subPath": "a/../../b"}, {"subPathExpr": "$(NONE)"}):
        with pytest.raises(ConfigError):
            mounts(tmp_path, **bad)
    (tmp_path / "link").symlink_to("/")
    with pytest.raises(ConfigError):
        plan.check_inside(tmp_path, tmp_path / "link/etc")


async def test_changed_config_map_reaches_the_volume(node: Node) -> None:
    maps = node.client.of(core_v1.ConfigMap)
    await maps.create(
        codec.convert(core_v1.ConfigMap, {"metadata": {"name": "cm", "namespace": "default"}, "data": {"k": "1"}})
    )
    await node.create(
        volumes=[{"name": "v", "configMap": {"name": "cm"}}],
        containers=[container(volumeMounts=[{"name": "v", "mountPath": "/cfg"}])],
    )
    await node.until(is_ready)
    mount = next(m for m in node.runtime.container("main").config.mounts if m.container_path == "/cfg")
    assert mount.readonly and (Path(mount.host_path) / "k").read_text() == "1"
    await maps.patch("cm", "default", {"data": {"k": "2"}}, "merge")
    await eventually(lambda: (Path(mount.host_path) / "k").read_text() == "2")


async def test_changed_labels_reach_the_volume(node: Node) -> None:
    items = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
    await node.create(
        volumes=[{"name": "v", "downwardAPI": {"items": items}}],
        containers=[container(volumeMounts=[{"name": "v", "mountPath": "/d"}])],
    )
    await node.until(is_ready)
    mount = next(m for m in node.runtime.container("main").config.mounts if m.container_path == "/d")
    assert (Path(mount.host_path) / "labels").read_text() == ""
    await node.client.of(core_v1.Pod).patch("web", "default", {"metadata": {"labels": {"a": "b"}}}, "merge")
    await eventually(lambda: (Path(mount.host_path) / "labels").read_text() == 'a="b"')


async def test_missing_secret_is_said_and_waited_for(node: Node) -> None:
    await node.create(
        volumes=[{"name": "v", "secret": {"secretName": "sec"}}],
        containers=[container(volumeMounts=[{"name": "v", "mountPath": "/s"}])],
    )
    await node.until_event("FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "sec" not found')
    found = await node.get()
    assert (found.status.containerStatuses or [])[0].state.waiting.reason == "ContainerCreating"  # type: ignore[union-attr]
    secret = codec.convert(core_v1.Secret, {"metadata": {"name": "sec", "namespace": "default"}})
    await node.client.of(core_v1.Secret).create(secret)
    await node.until(is_ready)


async def test_a_claim_is_waited_for_and_its_volume_mounted(node: Node, tmp_path: Path) -> None:
    claims = node.client.of(core_v1.PersistentVolumeClaim)
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "volumeName": "pv"}
    body = {"metadata": {"name": "data", "namespace": "default"}, "spec": asked}
    claim = await claims.create(codec.convert(core_v1.PersistentVolumeClaim, body))
    await node.create(
        volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}}],
        containers=[container(volumeMounts=[{"name": "v", "mountPath": "/d"}])],
    )
    why = "Unable to attach or mount volumes: error processing PVC default/data: PVC is not bound"
    await node.until_event("FailedMount", why)
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "local": {"path": str(tmp_path)},
        "claimRef": {"namespace": "default", "name": "data", "uid": claim.metadata.uid},
    }
    terms = [{"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}]
    spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    volume = codec.convert(core_v1.PersistentVolume, {"metadata": {"name": "pv"}, "spec": spec})
    await node.client.of(core_v1.PersistentVolume).create(volume)
    await claims.patch("data", "default", {"status": {"phase": "Bound"}}, "merge", subresource="status")
    await node.until(is_ready)
    mount = next(m for m in node.runtime.container("main").config.mounts if m.container_path == "/d")
    assert mount.host_path == str(tmp_path) and mount.readonly


async def test_kinds_of_volumes_that_are_not_there_are_named(node: Node) -> None:
    await node.create(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "none"}}])
    await node.until_event(
        "FailedMount",
        "Unable to attach or mount volumes: error processing PVC default/none: failed to fetch PVC from API server: "
        'persistentvolumeclaims "none" not found',
    )
