"""Pods of conformance tests in few words, and what became of them."""

import json
import shlex
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeVar

from tests.acceptance.outside import Kubectl

IMAGE: Final = "tiphys.dev/host"
#: Made by the tests: busybox, with an entry point, arguments and a user of its own.
BOX: Final = "example.test/conformance-box:1"
SECONDS: Final = 30.0

T = TypeVar("T")
Object = dict[str, Any]


class Ends(NamedTuple):
    """A Pod that ends, the exact lines it prints (a line ``...`` stands for any), and its phase."""

    name: str
    pod: Object
    lines: str = ""
    phase: str = "Succeeded"


def container(script: str, name: str = "main", **fields: Any) -> Object:
    return {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        **fields,
    }


def pod(name: str, *containers: Object, labels: Object | None = None, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"name": name, **(labels or {})}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": list(containers), **spec},
    }


def once(name: str, script: str, volumes: Iterable[Object] = (), spec: Object | None = None, **fields: Any) -> Object:
    """A Pod of one container that ends with its script."""
    more: Object = {"restartPolicy": "Never", "volumes": list(volumes), **(spec or {})}
    return pod(name, container(script, **fields), **more)


def mounts(*pairs: str) -> list[Object]:
    """``volume:/path`` or ``volume:/path:sub/path``."""
    found = []
    for pair in pairs:
        volume, path, *sub = pair.split(":")
        found.append({"name": volume, "mountPath": path, **({"subPath": sub[0]} if sub else {})})
    return found


def create(kubectl: Kubectl, objects: Iterable[Object]) -> None:
    kubectl("create -f -", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def get(kubectl: Kubectl, what: str) -> Object:
    text = kubectl(f"get {what} -o json")
    # Warnings about what is deprecated stand before it.
    found: Object = json.loads(text[text.index("{") :])
    return found


def all_pods(kubectl: Kubectl) -> dict[str, Object]:
    return {each["metadata"]["name"]: each for each in get(kubectl, "pods")["items"]}


def until(look: Callable[[], T], seconds: float = SECONDS, pause: float = 0.1) -> T:
    """What ``look`` returns once that is true; its last answer is shown if it never is."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"still {found!r} after {seconds:g} s"
        time.sleep(pause)
    return found


def condition(found: Object, kind: str) -> Object:
    conditions: list[Object] = found["status"].get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def status_of(found: Object, name: str = "main") -> Object:
    status = found["status"]
    every = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    return next((each for each in every if each["name"] == name), {})


def execute(kubectl: Kubectl, name: str, script: str, container_name: str = "main") -> str:
    return kubectl(f"exec {name} -c {container_name} -- sh -c {shlex.quote(script)}")
