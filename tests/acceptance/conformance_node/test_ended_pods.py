"""Pods that run to their end: what a container sees of its environment, its files and its rights.

Rows follow test/e2e/common/node and test/e2e/common/storage of the conformance list. All Pods run side by side.
"""

import re
from typing import Any

import pytest

from tests.acceptance.conformance_node.pods import (
    BOX,
    SECONDS,
    Ends,
    Object,
    all_pods,
    container,
    create,
    mounts,
    once,
    pod,
    until,
)
from tests.acceptance.outside import Kubectl

OBJECTS: list[Object] = [
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "config"},
        "data": {"data-1": "value-1", "data-2": "value-2", "not.a_variable-": "x"},
        "binaryData": {"bytes": "3q2+7w=="},
    },
    {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "secret"},
        "stringData": {"data-1": "hidden-1", "data-2": "hidden-2"},
    },
]


def config(name: str, **more: Any) -> Object:
    return {"name": name, "configMap": {"name": "config", **more}}


def secret(name: str, **more: Any) -> Object:
    return {"name": name, "secret": {"secretName": "secret", **more}}


def projected(name: str, *sources: Object, **more: Any) -> Object:
    return {"name": name, "projected": {"sources": list(sources), **more}}


def downward(name: str, *items: Object, **more: Any) -> Object:
    return {"name": name, "downwardAPI": {"items": list(items), **more}}


def field(path: str, of: str, mode: int | None = None) -> Object:
    return {"path": path, "fieldRef": {"fieldPath": of}, **({} if mode is None else {"mode": mode})}


def amount(path: str, resource: str, divisor: str = "1") -> Object:
    return {
        "path": path,
        "resourceFieldRef": {"containerName": "main", "resource": resource, "divisor": divisor},
    }


def variable(name: str, **source: Any) -> Object:
    return {"name": name, "valueFrom": source} if "value" not in source else {"name": name, **source}


#: Name, mode, owner and content of every file below the folders that follow.
LIST = (
    "for f in $(find -L {0} -type f ! -path '*/..*' | sort); do "
    'echo "$(stat -L -c "%n %a %u:%g" $f) $(od -An -c $f | tr -d " \\n")"; done'
)
#: Of the first process itself: shells pass on only what can be a variable of theirs.
OWN_ENVIRONMENT = r"tr '\0' '\n' < /proc/1/environ | grep -E '^(p-|s_|one|two|data)' | sort"
ONE = {"items": [{"key": "data-2", "path": "path/to/two"}]}
ONE_0400 = {"items": [{"key": "data-2", "path": "path/to/two", "mode": 0o400}]}
SMALL = {"limits": {"cpu": "1250m", "memory": "64Mi"}, "requests": {"cpu": "250m", "memory": "32Mi"}}


def files(name: str, *volumes: Object, **more: Any) -> Object:
    """A Pod that lists all files of its volumes, each mounted below /v."""
    mounted = mounts(*(f"{volume['name']}:/v/{volume['name']}" for volume in volumes))
    return once(name, LIST.format("/v/*"), volumes, volumeMounts=mounted, **more)


def matrix(name: str, spec: Object, uid: int) -> Ends:
    """Modes of files and folders in both kinds of emptyDir."""
    script = (
        "umask 0; for v in disk memory; do for m in 644 666 777; do "
        "echo content > /$v/$m; chmod $m /$v/$m; stat -c '%n %a %u' /$v/$m; cat /$v/$m; done; "
        "stat -c '%n %a' /$v; stat -f -c %T /$v | sed 's/tmpfs/memory/;t;s/.*/disk/'; done"
    )
    volumes = [{"name": "disk", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}}]
    lines = "".join(
        "".join(f"/{v}/{m} {m} {uid}\ncontent\n" for m in ("644", "666", "777")) + f"/{v} 777\n{v}\n"
        for v in ("disk", "memory")
    )
    return Ends(name, once(name, script, volumes, spec, volumeMounts=mounts("disk:/disk", "memory:/memory")), lines)


ENDS: list[Ends] = [
    # Commands and arguments. common/node/containers.go, expansion.go
    Ends("image-defaults", pod("image-defaults", {"name": "main", "image": BOX}, restartPolicy="Never"),
         "entry default arguments"),
    Ends("arguments", pod("arguments", {"name": "main", "image": BOX, "args": ["mine"]}, restartPolicy="Never"),
         "entry mine"),
    Ends("command", pod("command", {"name": "main", "image": BOX, "command": ["/bin/echo", "c"]}, restartPolicy="Never"),
         "c"),
    Ends("both", pod("both", {"name": "main", "image": BOX, "command": ["/bin/echo", "c"], "args": ["a"]},
                     restartPolicy="Never"), "c a"),
    Ends("expansion", once("expansion", 'echo "$FOOBAR|$RAW|$0|$1"', env=[
        variable("FOO", value="foo"), variable("BAR", value="bar"), variable("FOOBAR", value="$(FOO);;$(BAR)"),
        variable("RAW", value="$$(FOO) $(NONE)"),
    ], args=["$(FOO)", "$$(FOO)"]), "foo;;bar|$(FOO) $(NONE)|foo|$(FOO)"),
    # Environment from objects. common/node/configmap.go, secrets.go
    Ends("environment", once("environment", OWN_ENVIRONMENT, envFrom=[
        {"configMapRef": {"name": "config"}}, {"prefix": "p-", "configMapRef": {"name": "config"}},
        {"prefix": "s_", "secretRef": {"name": "secret"}}, {"configMapRef": {"name": "none", "optional": True}},
    ], env=[variable("one", configMapKeyRef={"name": "config", "key": "data-1"}),
            variable("two", secretKeyRef={"name": "secret", "key": "data-2"})]),
        "data-1=value-1\ndata-2=value-2\none=value-1\np-data-1=value-1\np-data-2=value-2\np-not.a_variable-=x\n"
        "s_data-1=hidden-1\ns_data-2=hidden-2\ntwo=hidden-2"),
    # Downward API. common/node/downwardapi.go
    Ends("downward", once("downward", 'echo "$NAME $SPACE $ACCOUNT"; test "$IP" = "$IPS" && echo ip; '
                          'test "$HOST" = "$HOSTS" && echo host; hostname -i | grep -c "$IP"; echo ${#ID}; '
                          'echo $LC $LM $RC $RM',
                          resources=SMALL, env=[
        variable("NAME", fieldRef={"fieldPath": "metadata.name"}),
        variable("SPACE", fieldRef={"fieldPath": "metadata.namespace"}),
        variable("ACCOUNT", fieldRef={"fieldPath": "spec.serviceAccountName"}),
        variable("IP", fieldRef={"fieldPath": "status.podIP"}), variable("IPS", fieldRef={"fieldPath": "status.podIPs"}),
        variable("HOST", fieldRef={"fieldPath": "status.hostIP"}),
        variable("HOSTS", fieldRef={"fieldPath": "status.hostIPs"}),
        variable("ID", fieldRef={"fieldPath": "metadata.uid"}),
        variable("LC", resourceFieldRef={"resource": "limits.cpu"}),
        variable("LM", resourceFieldRef={"resource": "limits.memory"}),
        variable("RC", resourceFieldRef={"resource": "requests.cpu"}),
        variable("RM", resourceFieldRef={"resource": "requests.memory"}),
    ]), "downward test-ended-pods default\nip\nhost\n1\n36\n2 67108864 1 33554432"),
    Ends("defaults-of-node", once("defaults-of-node", 'test $CPU -gt 0 && test $MEMORY -gt 1000000 && echo ok; cat /d/*',
                                  [downward("d", amount("z", "limits.cpu", "1m"))], volumeMounts=mounts("d:/d"), env=[
        variable("CPU", resourceFieldRef={"resource": "limits.cpu"}),
        variable("MEMORY", resourceFieldRef={"resource": "limits.memory"})]), "ok\n..."),
    # Files. common/storage/configmap_volume.go, secrets_volume.go, projected_*.go, downwardapi_volume.go
    Ends("config-files", files("config-files", config("all"), config("all0400", defaultMode=0o400), config("one", **ONE),
                               config("one0400", **ONE_0400)),
         "/v/all/bytes 644 0:0 336255276357\n/v/all/data-1 644 0:0 value-1\n/v/all/data-2 644 0:0 value-2\n"
         "/v/all/not.a_variable- 644 0:0 x\n/v/all0400/bytes 400 0:0 336255276357\n/v/all0400/data-1 400 0:0 value-1\n"
         "/v/all0400/data-2 400 0:0 value-2\n/v/all0400/not.a_variable- 400 0:0 x\n/v/one/path/to/two 644 0:0 value-2\n"
         "/v/one0400/path/to/two 400 0:0 value-2"),
    Ends("secret-files", files("secret-files", secret("all"), secret("all0400", defaultMode=0o400), secret("one", **ONE),
                               secret("one0400", **ONE_0400)),
         "/v/all/data-1 644 0:0 hidden-1\n/v/all/data-2 644 0:0 hidden-2\n/v/all0400/data-1 400 0:0 hidden-1\n"
         "/v/all0400/data-2 400 0:0 hidden-2\n/v/one/path/to/two 644 0:0 hidden-2\n"
         "/v/one0400/path/to/two 400 0:0 hidden-2"),
    Ends("projected-files", files("projected-files",
         projected("all", {"configMap": {"name": "config", **ONE}}, {"secret": {"name": "secret", "items": [
             {"key": "data-1", "path": "secret/one", "mode": 0o400}]}},
             {"downwardAPI": {"items": [field("name", "metadata.name")]}},
             {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}),
         projected("mode", {"configMap": {"name": "config", **ONE}}, defaultMode=0o400)),
         "/v/all/name 644 0:0 projected-files\n/v/all/path/to/two 644 0:0 value-2\n/v/all/secret/one 400 0:0 hidden-1\n"
         "...\n/v/mode/path/to/two 400 0:0 value-2"),
    Ends("files-of-a-user", files("files-of-a-user", config("c"), config("mapped", **ONE), secret("s", defaultMode=0o440),
         projected("p", {"secret": {"name": "secret"}}, defaultMode=0o440),
         spec={"securityContext": {"runAsUser": 1000, "fsGroup": 1001}}),
         "/v/c/bytes 644 0:1001 336255276357\n/v/c/data-1 644 0:1001 value-1\n/v/c/data-2 644 0:1001 value-2\n"
         "/v/c/not.a_variable- 644 0:1001 x\n/v/mapped/path/to/two 644 0:1001 value-2\n"
         "/v/p/data-1 440 0:1001 hidden-1\n/v/p/data-2 440 0:1001 hidden-2\n"
         "/v/s/data-1 440 0:1001 hidden-1\n/v/s/data-2 440 0:1001 hidden-2"),
    Ends("files-of-a-user-without-group", files("files-of-a-user-without-group", config("c", **ONE),
         projected("p", {"configMap": {"name": "config", **ONE}}), spec={"securityContext": {"runAsUser": 1000}}),
         "/v/c/path/to/two 644 0:0 value-2\n/v/p/path/to/two 644 0:0 value-2"),
    Ends("downward-files", files("downward-files", downward("d",
         field("name", "metadata.name"), field("mode", "metadata.name", 0o400), field("labels", "metadata.labels"),
         amount("cpu-limit", "limits.cpu"), amount("cpu-limit-milli", "limits.cpu", "1m"),
         amount("cpu-request", "requests.cpu", "1m"), amount("memory-limit", "limits.memory"),
         amount("memory-request", "requests.memory", "1Mi")),
         projected("p", {"downwardAPI": {"items": [field("name", "metadata.name")]}}, defaultMode=0o400), resources=SMALL),
         "/v/d/cpu-limit 644 0:0 2\n/v/d/cpu-limit-milli 644 0:0 1250\n/v/d/cpu-request 644 0:0 250\n"
         '/v/d/labels 644 0:0 name="downward-files"\n/v/d/memory-limit 644 0:0 67108864\n'
         "/v/d/memory-request 644 0:0 32\n/v/d/mode 400 0:0 downward-files\n/v/d/name 644 0:0 downward-files\n"
         "/v/p/name 400 0:0 downward-files"),
    Ends("sub-paths", once("sub-paths", "cat /c /s /d /p; echo; stat -c %a /c; ls /folder",
         [config("c"), secret("s"), downward("d", field("name", "metadata.name")),
          projected("p", {"configMap": {"name": "config", **ONE}})],
         volumeMounts=mounts("c:/c:data-1", "s:/s:data-1", "d:/d:name", "p:/p:path/to/two", "p:/folder:path")),
         "value-1hidden-1sub-pathsvalue-2\n644\nto"),
    Ends("sub-path-over-a-file", once("sub-path-over-a-file", "cat /etc/hostname", [config("c")],
         volumeMounts=mounts("c:/etc/hostname:data-1")), "value-1"),
    # emptyDir. common/storage/empty_dir.go
    matrix("empty-root", {}, 0),
    matrix("empty-user", {"securityContext": {"runAsUser": 1001}}, 1001),
    Ends("empty-shared", pod("empty-shared",
         container("until test -f /v/f; do sleep 0.1; done; cat /v/f", volumeMounts=mounts("v:/v")),
         container("echo shared > /v/.f; mv /v/.f /v/f", "writer", volumeMounts=mounts("v:/v")),
         volumes=[{"name": "v", "emptyDir": {}}], restartPolicy="Never"), "shared"),
    # Rights. common/node/security_context.go, node/security_context.go, privileged.go
    Ends("uid-65534", once("uid-65534", "id -u", securityContext={"runAsUser": 65534}), "65534"),
    Ends("uid-gid-container", once("uid-gid-container", "id -u; id -g",
         securityContext={"runAsUser": 1001, "runAsGroup": 2002}), "1001\n2002"),
    Ends("uid-gid-pod", once("uid-gid-pod", "id -u; id -g; id -G | tr ' ' '\\n' | sort -n | tail -1", spec={
        "securityContext": {"runAsUser": 1001, "runAsGroup": 2002, "supplementalGroups": [3003]}}), "1001\n2002\n3003"),
    Ends("user-of-image", pod("user-of-image", {"name": "main", "image": BOX, "command": ["/bin/sh", "-c", "id -u; id -G"],
                                                "securityContext": {"runAsNonRoot": True}}, restartPolicy="Never"),
         "1234\n1234 5000"),
    Ends("unprivileged", once("unprivileged", "mount -t tmpfs x /mnt 2>/dev/null || echo refused",
         securityContext={"privileged": False}), "refused"),
    Ends("privileged", once("privileged", "mount -t tmpfs x /mnt && echo made",
         securityContext={"privileged": True}), "made"),
    Ends("no-escalation", once("no-escalation", "grep NoNewPrivs /proc/self/status", securityContext={
        "runAsUser": 1000, "allowPrivilegeEscalation": False}), "NoNewPrivs:\t1"),
    Ends("writable-root", once("writable-root", "echo x > /file && cat /file",
         securityContext={"readOnlyRootFilesystem": False}), "x"),
    Ends("read-only-root", once("read-only-root", "echo x > /file", securityContext={"readOnlyRootFilesystem": True}),
         "...", "Failed"),
    Ends("sysctl", once("sysctl", "cat /proc/sys/kernel/shm_rmid_forced", spec={
        "securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}}), "1"),
    # Hosts and names. common/node/kubelet.go, network/dns.go
    Ends("host-aliases", once("host-aliases", "tail -n 2 /etc/hosts", spec={
        "hostAliases": [{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}]}),
         "# Entries added by HostAliases.\n123.45.67.89\tfoo\tbar"),
    Ends("dns-config", once("dns-config", "cat /etc/resolv.conf", spec={"dnsPolicy": "None", "dnsConfig": {
        "nameservers": ["1.1.1.1"], "searches": ["resolv.conf.local"], "options": [{"name": "ndots", "value": "2"}]}}),
         "nameserver 1.1.1.1\nsearch resolv.conf.local\noptions ndots:2"),
    # An image as a volume. common/node/image_volume.go
    Ends("image-volume", once("image-volume", "cat /i/etc/group; touch /i/x 2>/dev/null || echo read-only",
         [{"name": "i", "image": {"reference": BOX, "pullPolicy": "IfNotPresent"}}], volumeMounts=mounts("i:/i")),
         "root:x:0:\nbox:x:1234:\nmore:x:5000:box\nread-only"),
]  # fmt: skip


@pytest.fixture(scope="module")
def ended(space: Kubectl) -> dict[str, Object]:
    create(space, OBJECTS)
    create(space, [each.pod for each in ENDS])

    def over() -> dict[str, Object]:
        found = all_pods(space)
        waiting = [n for n, p in found.items() if p["status"].get("phase") not in ("Succeeded", "Failed")]
        return {} if waiting else found

    try:
        return until(over, SECONDS)
    except AssertionError:
        return all_pods(space)


@pytest.mark.parametrize("row", [pytest.param(each, id=each.name) for each in ENDS])
def test_what_a_container_sees(space: Kubectl, ended: dict[str, Object], row: Ends) -> None:
    status = ended[row.name]["status"]
    text = space(f"logs {row.name} -c main").strip() if status.get("phase") in ("Succeeded", "Failed") else ""
    assert status.get("phase") == row.phase, (status, text)
    wanted = "\n".join(".*" if line == "..." else re.escape(line) for line in row.lines.splitlines())
    assert re.fullmatch(wanted, text, re.DOTALL), text
