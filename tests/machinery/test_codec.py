import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api import apps_v1, coordination_v1, core_v1, meta_v1
from tiphys.api.kinds import KINDS
from tiphys.api.scalars import Quantity, Time
from tiphys.machinery import codec, documents, gojson, gotypes

EMPTY_POD = b'{"apiVersion":"v1","kind":"Pod","metadata":{},"spec":{"containers":[]},"status":{}}'


def test_bytes_begin_where_the_server_splices() -> None:
    assert codec.encode(core_v1.Pod()) == EMPTY_POD
    assert codec.encode(core_v1.ConfigMap(metadata=meta_v1.ObjectMeta(name="a"))).startswith(
        b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}'
    )


def test_scalars_become_canonical() -> None:
    pod = codec.decode(
        core_v1.Pod,
        b'{"metadata":{"creationTimestamp":"2026-01-31T10:00:00.7+02:00"},'
        b'"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":1.5,"memory":"1024Ki","x":" 2 ","y":3}}}]}}',
    )
    assert pod.metadata.creationTimestamp == "2026-01-31T08:00:00Z"
    assert type(pod.metadata.creationTimestamp) is Time
    limits = pod.spec.containers[0].resources.limits
    assert limits == {"cpu": "1500m", "memory": "1Mi", "x": "2", "y": "3"}
    assert all(type(value) is Quantity for value in limits.values())
    assert b'"cpu":"1500m"' in codec.encode(pod)
    lease = codec.decode(coordination_v1.Lease, b'{"spec":{"renewTime":"2026-01-31T08:00:00.123456789Z"}}')
    assert lease.spec.renewTime == "2026-01-31T08:00:00.123456Z"


@pytest.mark.parametrize("kind", sorted(KINDS), ids="/".join)
def test_every_kind_round_trips(kind: tuple[str, str, str]) -> None:
    cls = codec.class_of(*kind)
    data = codec.encode(cls())
    assert codec.encode(codec.decode(cls, data)) == data
    assert codec.copy(cls()) == cls()


def test_unknown_kinds() -> None:
    with pytest.raises(LookupError):
        codec.class_of("", "v1", "Nothing")


def test_decoding_with_field_validation() -> None:
    assert codec.decode_checked(core_v1.Pod, EMPTY_POD) == (core_v1.Pod(), [])
    data = b'{"spec":{"bogus":1,"hostNetwork":false},"spec":{"nodeName":"n","x":1}}'
    pod, found = codec.decode_checked(core_v1.Pod, data)
    assert (pod.spec.nodeName, pod.spec.hostNetwork) == ("n", None)
    assert found == ['unknown field "spec.bogus"', 'duplicate field "spec"', 'unknown field "spec.x"']
    _, found = codec.decode_checked(core_v1.Pod, b'{"spec":{"nodeName":"a","nodeName":"b"}}')
    assert found == ['duplicate field "spec.nodeName"']
    with pytest.raises(codec.DecodeError):
        codec.decode_checked(core_v1.Pod, b"[]")


def test_decoding_of_our_own_bytes() -> None:
    assert codec.decode_own(core_v1.Pod, EMPTY_POD) == core_v1.Pod()
    assert codec.decode_own(core_v1.Pod, b'{"from":"the future"}') == core_v1.Pod()


def test_copies_share_nothing() -> None:
    pod = core_v1.Pod(metadata=meta_v1.ObjectMeta(labels={"a": "b"}))
    copy = codec.copy(pod)
    assert copy == pod
    copy.metadata.labels["a"] = "c"
    assert pod.metadata.labels == {"a": "b"}


@pytest.mark.parametrize(
    "data",
    [
        b'{"bogus":1,"spec":{"bogus":{}}}',
        b'{"metadata":null,"spec":{"containers":null},"status":null}',
        b'{"metadata":{"labels":null,"creationTimestamp":null,"annotations":{}}}',
        b'{"spec":{"hostNetwork":false,"nodeName":"","tolerations":[],"nodeSelector":{},"activeDeadlineSeconds":null}}',
        b' { "spec" : { "nodeName" : "" } } ',
        b'{"a":"\xff"}',
    ],
)
def test_what_is_dropped(data: bytes) -> None:
    assert codec.encode(codec.decode(core_v1.Pod, data)) == EMPTY_POD


def test_what_stays_though_empty() -> None:
    data = (
        b'{"spec":{"automountServiceAccountToken":false,"containers":[],"securityContext":{},'
        b'"terminationGracePeriodSeconds":0,"volumes":[{"name":"v","emptyDir":{}}]}}'
    )
    kept = codec.to_builtins(codec.decode(core_v1.Pod, data))["spec"]
    assert kept == {
        "automountServiceAccountToken": False,
        "containers": [],
        "securityContext": {},
        "terminationGracePeriodSeconds": 0,
        "volumes": [{"name": "v", "emptyDir": {}}],
    }
    volume = codec.decode(core_v1.Volume, b'{"hostPath":{"path":"/x","type":""},"name":"v"}')
    assert volume.hostPath == core_v1.HostPathVolumeSource(path="/x", type="")
    claim = codec.decode(core_v1.PersistentVolumeClaim, b'{"spec":{"storageClassName":""}}')
    assert claim.spec.storageClassName == ""
    deployment = codec.decode(apps_v1.Deployment, b'{"spec":{"replicas":0,"minReadySeconds":0,"selector":{}}}')
    assert (deployment.spec.replicas, deployment.spec.minReadySeconds) == (0, None)
    assert deployment.spec.selector == meta_v1.LabelSelector()


def test_nulls_in_collections_are_zero_values() -> None:
    pod = codec.decode(
        core_v1.Pod, b'{"metadata":{"labels":{"a":null},"finalizers":[null]},"spec":{"containers":[null]}}'
    )
    assert (pod.metadata.labels, pod.metadata.finalizers) == ({"a": ""}, [""])
    assert pod.spec.containers == [core_v1.Container()]


@pytest.mark.parametrize(
    ("data", "message", "path"),
    [
        (
            b'{"spec":{"containers":[{"ports":[{"containerPort":"80"}]}]}}',
            "json: cannot unmarshal string into Go struct field "
            "ContainerPort.spec.containers.ports.containerPort of type int32",
            "spec.containers[0].ports[0].containerPort",
        ),
        (
            b'{"metadata":{"labels":{"a":1}}}',
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
            "metadata.labels.a",
        ),
        (
            b'{"spec":{"terminationGracePeriodSeconds":1.5}}',
            "json: cannot unmarshal number 1.5 into Go struct field "
            "PodSpec.spec.terminationGracePeriodSeconds of type int64",
            "spec.terminationGracePeriodSeconds",
        ),
        (b'{"spec":"x"}', "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec", "spec"),
        (
            b'{"spec":{"containers":{}}}',
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
            "spec.containers",
        ),
        (b"[]", "json: cannot unmarshal array into Go value of type v1.Pod", ""),
        (
            b'{"metadata":{"creationTimestamp":"x"}}',
            'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"',
            "metadata.creationTimestamp",
        ),
        (
            b'{"spec":{"containers":[{"resources":{"limits":{"cpu":true}}}]}}',
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            "spec.containers[0].resources.limits.cpu",
        ),
        (
            b'{"spec":{"containers":[{"livenessProbe":{"httpGet":{"port":true}}}]}}',
            "json: cannot unmarshal bool into Go struct field "
            "HTTPGetAction.spec.containers.livenessProbe.httpGet.port of type int32",
            "spec.containers[0].livenessProbe.httpGet.port",
        ),
    ],
)
def test_wrong_types(data: bytes, message: str, path: str) -> None:
    with pytest.raises(codec.DecodeError) as caught:
        codec.decode(core_v1.Pod, data)
    assert (str(caught.value), caught.value.path, caught.value.syntax) == (message, path, False)


def test_bad_base64() -> None:
    with pytest.raises(codec.DecodeError, match="illegal base64 data at input byte 1"):
        codec.decode(core_v1.Secret, b'{"data":{"a":"x!yz"}}')
    assert codec.decode(core_v1.Secret, b'{"data":{"a":"eA=="}}').data == {"a": b"x"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "unexpected end of JSON input"),
        (b"x", "invalid character 'x' looking for beginning of value"),
        (b'{"a"}', "invalid character '}' after object key"),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        (b"{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b'{"a":[1,]}', "invalid character ']' looking for beginning of value"),
        (b'{"a":[1 2]}', "invalid character '2' after array element"),
        (b'{"a":tru}', "invalid character '}' in literal true (expecting 'e')"),
        (b'{"a":"\n"}', "invalid character '\\n' in string literal"),
        (b'{"a":"\\x"}', "invalid character 'x' in string escape code"),
        (b'{"a":1}x', "invalid character 'x' after top-level value"),
        (b'{"a":01}', "invalid character '1' after object key:value pair"),
        (b'{"a":1.}', "invalid character '}' after decimal point in numeric literal"),
        (b'{"a":', "unexpected end of JSON input"),
        (b"[" * 20000, "exceeded max depth"),
    ],
)
def test_broken_json(data: bytes, message: str) -> None:
    with pytest.raises(codec.DecodeError) as caught:
        codec.decode(core_v1.Pod, data)
    assert (str(caught.value), caught.value.syntax) == (message, True)


def refused(text: str) -> bool:
    def no_constants(name: str) -> None:
        raise ValueError(name)

    try:
        json.loads(text, parse_constant=no_constants)
    except ValueError:
        return True
    return False


@given(st.text(alphabet='{}[]",:0123.eE+-truefalsn\\ \n', max_size=12))
def test_faults_are_found_where_there_are_some(text: str) -> None:
    assert bool(gojson.syntax_error(text.encode())) is refused(text)


@given(st.binary(max_size=40))
def test_garbage_never_does_worse_than_refuse(data: bytes) -> None:
    try:
        codec.decode(core_v1.Pod, data)
    except codec.DecodeError as error:
        assert str(error)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(
                st.sampled_from(["metadata", "spec", "name", "labels", "containers", "env", "ports"]), x, max_size=3
            )
        ),
    )
)
def test_any_json_decodes_or_is_refused(value: Any) -> None:
    try:
        pod = codec.decode(core_v1.Pod, codec.encode(value))
    except codec.DecodeError:
        return
    assert codec.encode(codec.decode(core_v1.Pod, codec.encode(pod))) == codec.encode(pod)


def test_nesting_too_deep_is_refused() -> None:
    properties = b'{"properties":{"a":' * 460 + b'{"x":1}' + b"}}" * 460
    data = b'{"spec":{"versions":[{"schema":{"openAPIV3Schema":%b}}]}}' % properties
    with pytest.raises(codec.DecodeError, match="exceeded max depth"):
        codec.decode(codec.class_of("apiextensions.k8s.io", "v1", "CustomResourceDefinition"), data)


def test_refusals_in_kubernetes_words() -> None:
    error = codec.DecodeError("json: cannot unmarshal x")
    assert codec.refusal(error, "v1", "Deployment", "Deployment").message == (
        'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal x'
    )
    assert codec.unreadable(codec.DecodeError("bad"), "Pod", b"{x}").message == (
        "the object provided is unrecognized (must be of type Pod): "
        "couldn't get version/kind; json parse error: bad ({x})"
    )
    assert codec.unreadable(codec.DecodeError("yaml: line 1: x"), "Pod", b"a: b: c").message == (
        "the object provided is unrecognized (must be of type Pod): yaml: line 1: x (613a20623a2063)"
    )
    assert codec.refusal("e", "", "", "Pod", b"").message.endswith(": e (<empty>)")
    assert codec.refusal("e", "", "", "Pod", b"{" + b"x" * 40).message.endswith("({xxxxxxxxxxxxxxxxxxxxxxxxxxxxx ...)")
    assert codec.refusal("e", "", "", "Pod", b"abc").message.endswith(": e (616263)")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("a: '1'\nb: \"x\\ty\"", {"a": "1", "b": "x\ty"}),
        ("- yes\n- Off\n- ~\n-\n- null", [True, False, None, None, None]),
        ("- 010\n- 0x1f\n- 1_000\n- 0b11\n- 089", [8, 31, 1000, 3, 89.0]),
        (
            "- 1.5\n- 1e3\n- .5\n- 1.2.3\n- 1:30\n- 2020-01-01\n- 1d",
            [1.5, 1000.0, 0.5, "1.2.3", "1:30", "2020-01-01", "1d"],
        ),
        ("a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n  e: 2", {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}),
        ("1: a\ntrue: b", {"1": "a", "true": "b"}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("---\na: 1\n...\n", {"a": 1}),
        ("", None),
        ("a: !!str 1", {"a": "1"}),
    ],
)
def test_yaml(text: str, value: Any) -> None:
    assert codec.decode_yaml(text.encode()) == (value, [])


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 10)}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b: c", "yaml: line 1: mapping values are not allowed in this context"),
        ("a: *x", "yaml: unknown anchor 'x' referenced"),
        ("a: 1\n---\nb: 1", "yaml: more than one document"),
        ("[" * 5000, "yaml: exceeded max depth"),
        (BOMB, "yaml: document contains excessive aliasing"),
        ("? [a]\n: b", "yaml: invalid map key: ['a']"),
    ],
)
def test_broken_yaml(text: str, message: str) -> None:
    with pytest.raises(codec.DecodeError) as caught:
        codec.decode_yaml(text.encode())
    assert str(caught.value) == message


def test_duplicate_keys_of_yaml() -> None:
    _, found = documents.parse(b"a: 1\nb:\n  c: 1\n  c: 2\na: 2\n<<: {a: 3}\n")
    assert found == ['line 4: key "c" already set in map', 'line 5: key "a" already set in map']


@given(st.text(alphabet="ab:-[]{}&*!'\"\n ,|>#?%<", max_size=30))
def test_garbage_yaml_never_does_worse_than_refuse(text: str) -> None:
    try:
        codec.decode_yaml(text.encode())
    except codec.DecodeError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"metadata": {"name": 1}}, "cannot convert int64 to string"),
        ({"metadata": {"name": True}}, "unrecognized type: string"),
        ({"metadata": {"labels": "x"}}, "cannot restore map from string"),
        ({"spec": []}, "cannot restore struct from: slice"),
        ({"spec": {"containers": {}}}, "cannot restore slice from map"),
        ({"spec": {"priority": "high"}}, "unrecognized type: int32"),
        ({"spec": {"hostNetwork": "yes"}}, "unrecognized type: bool"),
    ],
)
def test_what_does_not_fit_after_a_strategic_merge(document: dict[str, Any], words: str) -> None:
    fault = gotypes.misfit(core_v1.Pod, document)
    assert fault is not None
    assert fault.converting == words
