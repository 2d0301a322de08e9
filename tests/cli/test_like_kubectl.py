"""The same words from tiphys and from a stock kubectl, about the same server."""

import re
import shutil

import pytest

from tests.cli.served import Done, Place

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")

#: Ages go on while the two are asked.
AGE = re.compile(r" +(\d+[smh])+\b")
#: What kubectl 1.32 says otherwise than 1.36.
CHANGED = re.compile(r"ConfigMapOptional: +<nil>|Optional: +false")


def shown(done: Done) -> tuple[int, str, str]:
    return done.code, CHANGED.sub("Optional", AGE.sub(" AGE", done.out)), done.err


GETS = [
    "pods",
    "pods -o wide",
    "pods -A --sort-by=.metadata.name",
    "pods,svc",
    "deploy/web svc/np",
    "nodes --show-labels",
    "pods -L app,run",
    "pods --no-headers",
    "pod nope",
    "pod nope bare",
    "foo",
    "cm -n other-one",
    "lease -A",
    "svc --field-selector metadata.name=np",
    "pods -l a=b",
    "cm -o json",
    "cm conf -o yaml",
    "pod bare -o json",
    "deploy -o yaml",
    "clusterroles -o name",
    "deploy,svc -o name",
    "pods -o jsonpath={.items[*].metadata.name}",
    "pods -o custom-columns=N:.metadata.name,IP:.status.podIP,C:.spec.containers[*].name",
    "events.events.k8s.io -o name",
]


@pytest.mark.parametrize("words", GETS)
def test_get(place: Place, words: str) -> None:
    arguments = words.replace("-L app,run", "-L app -L run").split()
    assert shown(place.tiphys("get", *arguments)) == shown(place.kubectl("get", *arguments))


DESCRIPTIONS = [
    "pod/bare",
    "pods",
    "pod web",
    "deploy/web",
    "rs",
    "svc/np",
    "svc/kubernetes",
    "secret/sec",
    "ns",
    "sa/default",
    "lease/lease",
    "pod nope",
    "pvc",
]


@pytest.mark.parametrize("words", DESCRIPTIONS)
def test_describe(place: Place, words: str) -> None:
    assert shown(place.tiphys("describe", *words.split())) == shown(place.kubectl("describe", *words.split()))


def test_describe_node(place: Place) -> None:
    """Conditions and events of a node without a kubelet change at any time; the rest does not."""

    def still(done: Done) -> list[str]:
        text = re.sub(r"(Conditions|Events):.*\n(  .*\n)*", "", done.out)
        return [line for line in text.splitlines() if "unreachable" not in line and "not-ready" not in line]

    ours, theirs = place.tiphys("describe", "node", "n1"), place.kubectl("describe", "node", "n1")
    assert still(ours) == still(theirs)


def test_describe_config_map(place: Place) -> None:
    """kubectl shows data in no order."""
    ours, theirs = place.tiphys("describe", "cm", "conf"), place.kubectl("describe", "cm", "conf")
    assert sorted(ours.out.splitlines()) == sorted(theirs.out.splitlines())


@pytest.mark.parametrize(
    "words",
    [
        "delete pod",
        "delete pod nope",
        "delete cm -l a=b",
        "delete ns default",
        "exec nope -- ls",
        "exec nope",
        "logs bare -c a",
        "logs bare",
    ],
)
def test_refusals(place: Place, words: str) -> None:
    verb, *rest = words.split()
    ours, theirs = place.tiphys(verb, *rest), place.kubectl(verb, *rest)
    assert (ours.code, ours.out, ours.err) == (theirs.code, theirs.out, theirs.err)
