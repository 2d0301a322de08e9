"""Protobuf bodies: what a stock client sends, each special form, and anything else that may arrive."""

import json
import random

import pytest

from tests.apiserver.server import Api
from tiphys.apiserver import protobuf

# ``kubectl create namespace demo``, as kubectl 1.32 sends it.
NAMESPACE = bytes.fromhex(
    "6b3873000a0f0a02763112094e616d657370616365121c0a140a0464656d6f12001a0022002a0032003800420012001a020a001a002200"
)


def number(value: int) -> bytes:
    value &= 2**64 - 1
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def field(tag: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return number(tag << 3) + number(value)
    data = value.encode() if isinstance(value, str) else value
    return number(tag << 3 | 2) + number(len(data)) + data


def body(api_version: str, kind: str, *fields: bytes) -> bytes:
    about = field(1, field(1, api_version) + field(2, kind))
    return protobuf.MAGIC + about + field(2, b"".join(fields))


def read(*args: bytes | str) -> dict[str, object]:
    found: dict[str, object] = json.loads(protobuf.to_json(body(*args)))  # type: ignore[arg-type]
    return found


def test_what_kubectl_sends() -> None:
    found = json.loads(protobuf.to_json(NAMESPACE))
    assert (found["apiVersion"], found["kind"]) == ("v1", "Namespace")
    assert found["metadata"]["name"] == "demo"
    assert "creationTimestamp" not in found["metadata"]


def test_quantities_ports_and_embedded_structs() -> None:
    requests = field(2, field(1, "cpu") + field(2, field(1, "100m")))
    by_number, by_name = field(1, 0) + field(2, 8080), field(1, 1) + field(3, "web")
    get = field(2, field(1, "/") + field(2, by_name))
    probe = field(1, get) + field(2, 3)
    container = field(1, "c") + field(2, "i") + field(8, requests) + field(10, probe)
    volume = field(1, "v") + field(2, field(2, b""))
    found = read("v1", "Pod", field(2, field(1, volume) + field(2, container)))
    spec = found["spec"]
    assert spec == {
        "volumes": [{"name": "v", "emptyDir": {}}],
        "containers": [
            {
                "name": "c",
                "image": "i",
                "resources": {"requests": {"cpu": "100m"}},
                "livenessProbe": {"httpGet": {"path": "/", "port": "web"}, "initialDelaySeconds": 3},
            }
        ],
    }
    port = field(1, "p") + field(3, 80) + field(4, by_number)
    service = read("v1", "Service", field(2, field(1, port)))
    assert service["spec"] == {"ports": [{"name": "p", "port": 80, "targetPort": 8080}]}


def test_bytes_maps_times_and_negative_numbers() -> None:
    secret = read("v1", "Secret", field(2, field(1, "k") + field(2, b"\x00\xff")), field(5, 1))
    assert (secret["data"], secret["immutable"]) == ({"k": "AP8="}, True)
    meta = field(1, field(1, "l") + field(8, field(1, 1_700_000_000)) + field(11, field(1, "a") + field(2, "b")))
    lease = read("coordination.k8s.io/v1", "Lease", meta, field(2, field(3, field(1, -1) + field(2, 500_000_000))))
    assert lease["metadata"] == {"name": "l", "creationTimestamp": "2023-11-14T22:13:20Z", "labels": {"a": "b"}}
    assert lease["spec"] == {"acquireTime": "1969-12-31T23:59:59.500000Z"}
    pod = read("v1", "Pod", field(2, field(25, -5)))
    assert pod["spec"] == {"priority": -5}


async def test_objects_are_created_from_it(api: Api) -> None:
    made = await api.ok("POST", "/api/v1/namespaces", NAMESPACE, content_type=protobuf.MEDIA_TYPE)
    assert made["metadata"]["name"] == "demo"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        protobuf.MAGIC,
        NAMESPACE[:-9],
        body("v1", "Nothing"),
        body("v1", "Pod", b"\xff" * 20),
        body("v1", "Pod", field(2, 5)),
        body("v1", "Pod", b"\x0b"),
        body("v1", "Pod", field(1, field(8, field(1, 2**62)))),
    ],
)
async def test_other_bytes_are_refused(api: Api, data: bytes) -> None:
    status, answer = await api.call("POST", "/api/v1/namespaces", data, content_type=protobuf.MEDIA_TYPE)
    assert (status, answer["reason"]) == (400, "BadRequest")


def test_random_bytes_end_in_a_value_or_the_declared_error() -> None:
    dice = random.Random(3)
    for _ in range(3000):
        data = bytearray(NAMESPACE)
        for _ in range(dice.randrange(1, 5)):
            data[dice.randrange(4, len(data))] = dice.randrange(256)
        try:
            json.loads(protobuf.to_json(bytes(data)))
        except protobuf.ProtobufError:
            continue
