"""Requests that nobody would send, made from a seed, and what an answer to them may be.

One outcome only is allowed: a value or a declared refusal. A 500 that a fault
of ours has caused, an exception in the log, an answer that is no JSON where
JSON is due, all fail.
"""

import json
import logging
import random
from typing import Any, Final
from urllib.parse import unquote

from tests.apiserver.test_bad_input import ODD, damaged, originals
from tests.fuzz import typed
from tiphys.resources import table
from tiphys.wire.exchange import Request, Response

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "")
TYPES: Final = (
    *("application/json", "application/yaml", "application/json-patch+json", "application/merge-patch+json"),
    *("application/strategic-merge-patch+json", "application/apply-patch+yaml", "text/plain", "", "a/b; c"),
    *("application/vnd.kubernetes.protobuf", "application/cbor", "application/apply-patch+cbor"),
)
ACCEPTS: Final = (
    *("", "*/*", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/cbor"),
    *(
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    ),
    *("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", ";;;", "application/json;stream=watch", "é"),
)
PARAMETERS: Final = (
    *("labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "resourceVersionMatch", "watch"),
    *("timeoutSeconds", "timeout", "dryRun", "fieldManager", "fieldValidation", "force", "pretty", "includeObject"),
    *("allowWatchBookmarks", "sendInitialEvents", "propagationPolicy", "gracePeriodSeconds", "orphanDependents"),
    *("exclude", "verbose", "container", "follow", "tailLines", "path", "command", "seconds", "includeRequestDetails"),
)
VALUES: Final = (
    *("", "1", "0", "-1", "true", "false", "x", "All", "Strict", "Exact", "NotOlderThan", "99999999999999999999999"),
    *("a=b", "a in (b,c)", "a in (", "!a", "a==b,c!=d", "metadata.name=o", "spec.nodeName=", "=", ",", "metadata.x=1"),
    *(
        "1e9",
        "1.5",
        "NaN",
        "\x00",
        "é" * 100,
        "x" * 5000,
        "../..",
        "Background",
        "Orphan",
        "eyJ2IjoibWV0YS5rOHMuaW8vdjEi",
    ),
    *("1h", "5ms", "-1s", "9" * 400, "٣", "²", "%00", "None", "Object"),
)
SEGMENTS: Final = (
    *("", ".", "..", "o", "d", "default", "x" * 300, "\x00", "é", "%2e%2e", "status", "scale", "watch", "namespaces"),
    *(
        "a b",
        "a?b",
        "A",
        "-",
        "log",
        "exec",
        "proxy",
        "token",
        "finalize",
        "binding",
        "eviction",
        "ephemeralcontainers",
    ),
)
ROOTS: Final = (
    *(
        "/",
        "/api",
        "/apis",
        "/api/v1",
        "/apis/apps",
        "/apis/apps/v1",
        "/openapi/v2",
        "/openapi/v3",
        "/version",
        "/healthz",
    ),
    *("/readyz/ping", "/metrics", "/metrics/slis", "/statusz", "/flagz", "/logs/", "/debug/pprof/", "/openid/v1/jwks"),
    *("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "/apis/authentication.k8s.io/v1/tokenreviews"),
    *("/openapi/v3/apis/apps/v1", "/.well-known/openid-configuration", "/debug/api_priority_and_fairness/dump_queues"),
)
#: Broken, deep, huge or two things at once.
BODIES: Final = (
    b"",
    b"{",
    b"null",
    b"[]",
    b"0",
    b'"x"',
    b"\xff\xfe{}",
    b"\x00" * 50,
    b"k8s\x00",
    b"k8s\x00\n\x0e\n\x02v1\x12\x03Pod\x12\xff\xff\xff\xff\x0f",
    b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    b"[" * 20_000,
    b"[" * 9_000 + b"]" * 9_000,
    b'{"metadata":{"name":"a","name":"b"},"metadata":{}}',
    b'{"metadata":{"name":"a"},"x":' + b"9" * 5000 + b"}",
    b'{"metadata":{"name":"a"},"x":1e999999}',
    b'{"metadata":{"name":"\\ud800"}}',
    b'{"metadata":{"name":"a","labels":{"\xc3\x28":"x"}}}',
    b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
    b"d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\n"
    b"g: &g [*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g]\n",
    b"a: &a {b: *a}\n",
    b"? [a, b]\n: c\n",
    b"!!python/object/apply:os.system [x]\n",
    b"---\na: 1\n---\nb: 2\n",
    b"x: 2026-01-01\ny: 0x1F\nz: .inf\nw: !!binary aGk=\n",
    b"- " * 5000,
    b'[{"op":"replace","path":"/metadata/name","value":"x"}]',
    b'[{"op":"add","path":"/spec/-/x/0","value":{}}]',
    b'[{"op":"copy","from":"","path":"/spec/a"}]',
    b'[{"op":"test","path":"","value":1}]' * 2,
    b'{"$patch":"delete"}',
    b'{"spec":{"containers":[{"$patch":"replace"}],"$setElementOrder/containers":[{"name":1}]}}',
    b'{"spec":{"$retainKeys":[1]}}',
    b'{"metadata":{"managedFields":[{"fieldsV1":{"f:":{"k:{":{}}}}]}}',
)
OBJECTS: Final = originals()
#: What Kubernetes, too, answers with a 500.
KUBERNETES_OWN: Final = (b"no preferred addresses found", b"failed to allocate a serviceIP: range is full")


class Faults(logging.Handler):
    """Exceptions that were logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.ERROR:
            self.records.append(logging.Formatter().format(record))


def any_path(dice: random.Random) -> str:
    if dice.random() < 0.15:
        return dice.choice(ROOTS)
    row = dice.choice(table.RESOURCES)
    root = f"/apis/{row.group}/{row.version}" if row.group else f"/api/{row.version}"
    path = f"{root}/namespaces/d/{row.plural}" if row.namespaced and dice.random() < 0.8 else f"{root}/{row.plural}"
    if dice.random() < 0.6:
        path += "/o"
    if dice.random() < 0.3 and row.subresources:
        path += "/" + dice.choice(row.subresources).name
    if dice.random() < 0.15:
        parts = path.split("/")
        parts.insert(dice.randrange(len(parts)) + 1, dice.choice(SEGMENTS))
        path = "/".join(parts)
    return unquote(path)


def any_body(dice: random.Random, path: str) -> bytes:
    if dice.random() < 0.3:
        return dice.choice(BODIES)
    if dice.random() < 0.5:
        return _typed(dice, path)
    plural = path.split("/")[-1]
    fitting = [body for place, body in OBJECTS if place.rpartition("/")[2] in (plural, path.split("/")[-2:][0])]
    body: Any = damaged(dice.choice(fitting) if fitting else dice.choice(OBJECTS)[1], dice)
    if dice.random() < 0.1:
        body = [{"op": dice.choice(("add", "remove", "replace", "move", "copy", "test", "x")),
                 "path": dice.choice(("", "/", "/spec", "/metadata/labels/a", "/spec/containers/0", "x", None)),
                 "from": dice.choice(("", "/spec", None)), "value": dice.choice(ODD)}]  # fmt: skip
    encoded = json.dumps(body).encode()
    if dice.random() < 0.15:
        cut = dice.randrange(len(encoded) + 1)
        encoded = (
            encoded[:cut]
            + bytes(dice.randrange(256) for _ in range(dice.randrange(4)))
            + encoded[cut + dice.randrange(3) :]
        )
    return encoded


def _typed(dice: random.Random, path: str) -> bytes:
    """An object of the kind that the path is about, nearly right, with the name the path says."""
    row = next((row for row in table.RESOURCES if f"/{row.version}/" in path and f"/{row.plural}" in path), None)
    body = typed.object_of(dice, row.cls if row else dice.choice(table.RESOURCES).cls)
    name = path.rpartition("/")[2] if path.endswith("/o") else dice.choice(("n1", "n2", "n3"))
    if dice.random() < 0.9:
        body["metadata"] = {"name": name, "labels": {"a": "b"}}
    return json.dumps(body).encode()


def sane_request(dice: random.Random, known: dict[str, bytes]) -> Request:
    """One whose method, path and types fit, so that its body is looked at: a new object, or one that is there, changed.

    ``known`` are objects by path.
    """
    headers = {"content-type": "application/json"}
    query = {"fieldValidation": [dice.choice(("Strict", "Warn", "Ignore"))]} if dice.random() < 0.3 else {}
    if dice.random() < 0.4 or not known:
        row = dice.choice(table.RESOURCES)
        root = f"/apis/{row.group}/{row.version}" if row.group else f"/api/{row.version}"
        path = f"{root}/namespaces/d/{row.plural}" if row.namespaced else f"{root}/{row.plural}"
        body = _typed(dice, path)
        fitting = [obj for place, obj in OBJECTS if place.rpartition("/")[2] == row.plural]
        if fitting and dice.random() < 0.5:
            body = json.dumps({**fitting[0], "metadata": {"name": dice.choice("abcdefgh")}}).encode()
        return Request("POST", path, query, headers, body)
    path = dice.choice(sorted(known))
    method = dice.choice(("PUT", "PUT", "PATCH", "PATCH", "GET", "DELETE"))
    if dice.random() < 0.25:
        path += "/" + dice.choice(("status", "scale", "ephemeralcontainers", "resize", "finalize", "approval", "token"))
        known = {**known, path: known[path.rpartition("/")[0]]}
    changed = _changed(dice, known[path])
    if method == "PATCH":
        headers["content-type"] = dice.choice(TYPES[3:6])
        if headers["content-type"].endswith("yaml"):
            query = {**query, "fieldManager": [dice.choice("mn")], "force": [dice.choice(("true", "false"))]}
            changed.get("metadata", {}).pop("managedFields", None)
    body = b"" if method in ("GET", "DELETE") else json.dumps(changed).encode()
    return Request(method, path, query, headers, body)


def _changed(dice: random.Random, data: bytes) -> Any:
    """An object with one to three things wrong or different, most of the time still itself."""
    body: Any = json.loads(data)
    for _ in range(dice.choice((1, 1, 2, 3))):
        whole = damaged(body, dice)
        if isinstance(whole, dict) and isinstance(whole.get("metadata"), dict):
            body = whole
    if dice.random() < 0.8:
        body["metadata"].pop("resourceVersion", None)
    return body


def any_request(dice: random.Random, known: dict[str, bytes], patient: bool = False) -> Request:
    """``patient`` ones may name revisions that are yet to come, which are waited for."""
    if dice.random() < 0.6:
        return sane_request(dice, known)
    path = any_path(dice)
    method = dice.choice(METHODS) if dice.random() < 0.2 else dice.choice(METHODS[:5])
    query = {dice.choice(PARAMETERS): [dice.choice(VALUES) for _ in range(dice.choice((1, 1, 1, 0, 2)))]
             for _ in range(dice.choice((0, 0, 1, 1, 2, 4)))}  # fmt: skip
    if not patient and any(value.isdigit() and len(value) > 3 for value in query.get("resourceVersion", ())):
        del query["resourceVersion"]
    headers = {"content-type": dice.choice(TYPES), "accept": dice.choice(ACCEPTS)}
    if method != "PATCH" and dice.random() < 0.7:
        headers["content-type"] = "application/json"
    if method == "PATCH" and dice.random() < 0.9:
        headers["content-type"] = dice.choice(TYPES[2:6])
    for name in ("if-none-match", "accept-encoding", "audit-id", "impersonate-user", "impersonate-extra-%zz"):
        if dice.random() < 0.03:
            headers[name] = dice.choice(VALUES)
    body = any_body(dice, path) if method in ("POST", "PUT", "PATCH", "DELETE") else b""
    return Request(method, path, query, headers, body)


def problem_of(request: Request, response: Response) -> str:
    """What is wrong with an answer; empty if nothing is."""
    if not 200 <= response.status < 600:
        return f"status {response.status}"
    if response.status < 500:
        return ""
    if response.status == 500 and b'"reason"' not in response.body:
        # Some of Kubernetes' own refusals are a 500 without a reason.
        return ""
    if response.status in (503, 504) or any(words in response.body for words in KUBERNETES_OWN):
        return ""
    return f"status {response.status}: {response.body[:500]!r}"
