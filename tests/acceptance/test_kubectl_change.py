"""kubectl commands that write: generators, apply, patch, replace, delete, validation, kustomize."""

from pathlib import Path

import pytest

from tests.acceptance.outside import Kubectl, Step

IMAGE = "tiphys.dev/host"
#: The first process of a container has to want to end.
STAY = """sh -c 'trap "exit 0" TERM; sleep 1000 & wait'"""
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one, labels: {p: q}}\ndata: {a: '1', b: '2'}\n"
CHANGED = CONFIG_MAP.replace("b: '2'", "c: '3'")
BAD_FIELDS = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad, foo: x}\nbar: 1\ndata: {a: b}\n"
UNKNOWN = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
UNKNOWN += 'unknown field "bar", unknown field "metadata.foo"$'
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: NAME}\nspec: {containers: CONTAINERS}\n"
NOT_A_SUBDOMAIN = r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '\.'"


def pod(name: str, containers: str) -> str:
    return POD.replace("NAME", name).replace("CONTAINERS", containers)


CREATE = [
    Step(f"create deployment d --image={IMAGE} --replicas=0", r"^deployment.apps/d created$"),
    Step("create service clusterip s1 --tcp=80:80", r"^service/s1 created$"),
    Step("create service nodeport s2 --tcp=80", r"^service/s2 created$"),
    Step("create service loadbalancer s3 --tcp=80", r"^service/s3 created$"),
    Step("create service externalname s4 --external-name=x.y", r"^service/s4 created$"),
    Step("get svc s2", r"^s2 +NodePort +\S+ +<none> +80:3\d{4}/TCP "),
    Step("get svc s3", r"^s3 +LoadBalancer +\S+ +<pending> +80:3\d{4}/TCP "),
    Step("get svc s4", r"^s4 +ExternalName +<none> +x.y +<none> "),
    Step("create configmap c --from-literal=a=b", r"^configmap/c created$"),
    Step("create secret generic g --from-literal=a=b", r"^secret/g created$"),
    Step(
        "create secret docker-registry r --docker-server=s --docker-username=u --docker-password=p",
        r"^secret/r created$",
    ),
    Step("get secret r", r"^r +kubernetes.io/dockerconfigjson +1 "),
    Step("create sa robot", r"^serviceaccount/robot created$"),
    Step("create token robot", r"^eyJ[\w-]+\.[\w-]+\.[\w-]+$"),
    Step("create token robot --duration=10m -o jsonpath={.spec.expirationSeconds}", r"\A600\Z"),
    Step("create token nobody", r'^error: failed to create token: serviceaccounts "nobody" not found$', 1),
    Step("create role reader --verb=get --resource=pods", r"^role.rbac.authorization.k8s.io/reader created$"),
    Step(
        "create rolebinding rb --role=reader --serviceaccount={ns}:robot",
        r"^rolebinding.rbac.authorization.k8s.io/rb created$",
    ),
    Step("auth can-i get pods --as=system:serviceaccount:{ns}:robot", r"\Ayes\n\Z"),
    Step("auth can-i list pods --as=system:serviceaccount:{ns}:robot", r"\Ano\n\Z", 1),
    Step("describe rolebinding rb", r"^  ServiceAccount +robot +t-"),
    Step(
        "create clusterrole {ns} --verb=get --non-resource-url=/x",
        r"^clusterrole.rbac.authorization.k8s.io/\S+ created$",
    ),
    Step("describe clusterrole {ns}", r"^ +\[/x\] +\[\] +\[get\]$"),
    Step("create clusterrolebinding {ns} --clusterrole={ns} --user=u", r"^clusterrolebinding.\S+ created$"),
    Step("delete clusterrole,clusterrolebinding {ns}", r'^clusterrolebinding.rbac.authorization.k8s.io "\S+" deleted$'),
    Step(f"create job j --image={IMAGE}", r"^job.batch/j created$"),
    Step(f"create cronjob cj --image={IMAGE} --schedule='1 * * * *'", r"^cronjob.batch/cj created$"),
    Step("create ingress i --rule=a.b/=web:80", r"^ingress.networking.k8s.io/i created$"),
    Step("create quota q --hard=pods=100", r"^resourcequota/q created$"),
    Step("create pdb p --selector=app=x --min-available=1", r"^poddisruptionbudget.policy/p created$"),
    Step("create priorityclass {ns} --value=10", r"^priorityclass.scheduling.k8s.io/\S+ created$"),
    Step("delete priorityclass {ns}", r"deleted$"),
    Step("get role,job,cronjob,ing,quota,pdb", r"^poddisruptionbudget.policy/p +1 +N/A +0 "),
    Step("create sa robot", r'^error: failed to create serviceaccount: serviceaccounts "robot" already exists$', 1),
    Step("create configmap c", r'^error: failed to create configmap: configmaps "c" already exists$', 1),
    Step("create ns Bad_Name", r"metadata.name: Invalid value: \"Bad_Name\": a lowercase RFC 1123 label must", 1),
    Step("delete job,cronjob,ing,quota,pdb,deploy --all", r'^deployment.apps "d" deleted$'),
]

APPLY = [
    Step("apply -f -", r"^configmap/one created$", stdin=CONFIG_MAP),
    Step("apply -f -", r"^configmap/one unchanged$", stdin=CONFIG_MAP),
    Step("diff -f -", r'^-  b: "2"\n\+  c: "3"$', 1, stdin=CHANGED),
    Step("label configmap one by=hand", r"^configmap/one labeled$"),
    Step("apply -f - --dry-run=server", r"^configmap/one configured \(server dry run\)$", stdin=CHANGED),
    Step("apply -f - --dry-run=client", r"^configmap/one configured \(dry run\)$", stdin=CHANGED),
    Step("get cm one -o jsonpath={.data}", r'\A\{"a":"1","b":"2"\}\Z'),
    Step("apply -f -", r"^configmap/one configured$", stdin=CHANGED),
    Step("diff -f -", r"\A\Z", stdin=CHANGED),
    # The field that went is pruned, and what somebody else has set stays.
    Step("get cm one -o jsonpath='{.data} {.metadata.labels}'", r'\A\{"a":"1","c":"3"\} \{"by":"hand","p":"q"\}\Z'),
    Step("apply view-last-applied cm one", r'^  c: "3"$'),
    Step(
        "apply -f - --prune -l p=q --prune-allowlist=core/v1/ConfigMap",
        r"^configmap/two created\n(.*\n)*configmap/one pruned$",
        stdin=CONFIG_MAP.replace("one", "two"),
    ),
    Step(
        "apply -f -",
        r"metadata.labels: Invalid value: \"a b\": a valid label must",
        1,
        stdin=CONFIG_MAP.replace("p: q", "p: a b"),
    ),
]

SERVER_SIDE = [
    Step("apply --server-side -f -", r"^configmap/one serverside-applied$", stdin=CONFIG_MAP),
    Step("apply --server-side -f -", r"^configmap/one serverside-applied$", stdin=CONFIG_MAP),
    Step("get cm one -o yaml", r"\A((?!managedFields)[\s\S])*\Z"),
    Step("get cm one -o yaml --show-managed-fields", r"^    manager: kubectl\n    operation: Apply$"),
    Step("apply --server-side --field-manager=other -f -", r'^error: Apply failed with 1 conflict: conflict with "kubectl": \.data\.a$', 1,
         stdin=CONFIG_MAP.replace("a: '1'", "a: '9'")),
    Step("apply --server-side --field-manager=other --force-conflicts -f -", r"^configmap/one serverside-applied$",
         stdin=CONFIG_MAP.replace("a: '1'", "a: '9'")),
    Step("apply --server-side -f - --dry-run=server --force-conflicts", r"^configmap/one serverside-applied \(server dry run\)$", stdin=CHANGED),
    Step("diff --server-side --force-conflicts -f -", r'^-  a: "9"\n\+  a: "1"$', 1, stdin=CONFIG_MAP),
    # What a manager no longer names and nobody else owns is pruned.
    Step("apply --server-side --field-manager=other -f -", r"^configmap/one serverside-applied$",
         stdin="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: '9'}\n"),
    Step("apply --server-side -f -", r"^configmap/one serverside-applied$",
         stdin="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {z: '1'}\n"),
    Step("get cm one -o jsonpath={.data}", r'\A\{"a":"9","z":"1"\}\Z'),
]  # fmt: skip

CHANGE = [
    Step("create configmap one --from-literal=c=3", r"created$"),
    Step("edit cm one", r"^configmap/one edited$", env={"EDITOR": "sed -i 's/c: .3./c: \"four\"/'"}),
    Step("get cm one -o jsonpath={.data.c}", r"\Afour\Z"),
    Step("edit cm one", r"^Edit cancelled, no changes made.$", env={"EDITOR": "true"}),
    Step("label cm one x=y", r"^configmap/one labeled$"),
    Step("label cm one x=z", r"^error: 'x' already has a value \(y\), and --overwrite is false$", 1),
    Step("label cm one x=z --overwrite", r"^configmap/one labeled$"),
    Step("label cm one x-", r"^configmap/one unlabeled$"),
    Step("annotate cm one x=y", r"^configmap/one annotated$"),
    Step("annotate cm --all x-", r"^configmap/one annotated$"),
    Step("""patch cm one -p '{"data":{"z":"1"}}'""", r"^configmap/one patched$"),
    Step("""patch cm one -p '{"data":{"z":"1"}}'""", r"^configmap/one patched \(no change\)$"),
    Step("""patch cm one --type=merge -p '{"data":{"z":null}}'""", r"^configmap/one patched$"),
    Step("""patch cm one --type=json -p '[{"op":"add","path":"/data/y","value":"1"}]'""", r"^configmap/one patched$"),
    Step("get cm one -o jsonpath={.data}", r'\A\{"c":"four","y":"1"\}\Z'),
    Step(
        """patch cm one --type=json -p '[{"op":"test","path":"/data/y","value":"2"}]'""",
        r"^The request is invalid: the server rejected our request due to an error in our request$",
        1,
    ),
    Step(
        """patch cm one -p '{"data":{"z":1}}'""",
        r'^The request is invalid: patch: Invalid value: "map\[data:map\[z:1\]\]": cannot convert int64 to string$',
        1,
    ),
    Step("patch cm nope -p '{}'", r'^Error from server \(NotFound\): configmaps "nope" not found$', 1),
    Step("create configmap one --from-literal=a=b --dry-run=client -o yaml", r"^  creationTimestamp: null$"),
    Step("replace -f -", r"^configmap/one replaced$", stdin=CONFIG_MAP),
    Step("get cm one -o jsonpath={.data}", r'\A\{"a":"1","b":"2"\}\Z'),
    Step(
        "replace -f -",
        r'^Error from server \(Conflict\): error when replacing "STDIN": Operation cannot be fulfilled on'
        r' configmaps "one": the object has been modified; please apply your changes to the latest version and try again$',
        1,
        stdin=CONFIG_MAP.replace("name: one", "name: one, resourceVersion: '1'"),
    ),
    Step("replace --force -f -", r'^configmap "one" deleted\nconfigmap/one replaced$', stdin=CONFIG_MAP),
    Step(
        "replace -f -",
        r'^Error from server \(NotFound\): error when replacing "STDIN": configmaps "nope" not found$',
        1,
        stdin=CONFIG_MAP.replace("one", "nope"),
    ),
]

DELETE = [
    Step("create configmap one", r"created$"),
    Step("delete cm one --dry-run=server", r'^configmap "one" deleted \(server dry run\)$'),
    Step("delete cm one", r'^configmap "one" deleted$'),
    Step("delete cm one", r'^Error from server \(NotFound\): configmaps "one" not found$', 1),
    Step("delete cm one --ignore-not-found", r"\A\Z"),
    Step("wait --for=delete cm/one --timeout=1s", r"\A\Z"),
    Step("delete svc -l nope=1", r"^No resources found$"),
    Step(
        "delete ns default",
        r'^Error from server \(Forbidden\): namespaces "default" is forbidden: this namespace may not be deleted$',
        1,
    ),
    Step(f"create deployment d --image={IMAGE} -- {STAY}", r"created$"),
    Step("rollout status deploy/d --timeout=20s", r"successfully rolled out$"),
    Step("delete deploy d --cascade=orphan", r'^deployment.apps "d" deleted$'),
    Step("get rs -l app=d -o jsonpath='{.items[0].metadata.ownerReferences}'", r"\A\Z"),
    Step("delete rs -l app=d --cascade=foreground", r'^replicaset.apps "d-\w+" deleted$'),
    Step("get rs,pods -l app=d", r"^No resources found"),
    Step(f"create deployment d --image={IMAGE} -- {STAY}", r"created$"),
    Step("rollout status deploy/d --timeout=20s", r"successfully rolled out$"),
    Step("delete deploy d --cascade=background", r'^deployment.apps "d" deleted$'),
    Step("wait --for=delete rs,pod -l app=d --timeout=20s", r""),
    Step(f"run p --image={IMAGE} --image-pull-policy=IfNotPresent -- {STAY}", r"^pod/p created$"),
    Step("wait --for=condition=Ready pod/p --timeout=20s", r"met$"),
    Step("delete pod p --force", r'^pod "p" force deleted$'),
    Step("get pod p", r"NotFound", 1),
    Step(f"run p --image={IMAGE} --image-pull-policy=IfNotPresent -- {STAY}", r"^pod/p created$"),
    Step("delete pod p --now", r'^pod "p" deleted$'),
    Step("create configmap one", r"created$"),
    Step("delete cm --all", r'^configmap "one" deleted$'),
    # The published authority comes back.
    Step("wait --for=create cm/kube-root-ca.crt --timeout=5s", r"condition met$"),
]

VALIDATION = [
    Step("create --validate=strict -f -", UNKNOWN, 1, BAD_FIELDS),
    Step("create -f -", UNKNOWN, 1, BAD_FIELDS),
    Step("apply -f -", UNKNOWN, 1, BAD_FIELDS),
    Step("create --validate=warn -f -", r'^Warning: unknown field "bar"\nWarning: unknown field "metadata.foo"\nconfigmap/bad created$',
         stdin=BAD_FIELDS),
    Step("delete cm bad"),
    Step("create --validate=ignore -f -", r"\Aconfigmap/bad created\n\Z", stdin=BAD_FIELDS),
    Step("create -f -", r"cannot unmarshal string into Go struct field PodSpec.spec.containers of type \[\]v1.Container$", 1, pod("a", "x")),
    Step("create -f -", r'^The Pod "a" is invalid: spec.containers: Required value$', 1, pod("a", "[]")),
    Step("create -f -", r"spec.containers\[0\].name: Required value", 1, pod("a", "[{image: b}]")),
    Step("create -f -", r"ports\[0\].containerPort: Invalid value: 99999: must be between 1 and 65535, inclusive$", 1,
         pod("a", "[{name: a, image: b, ports: [{containerPort: 99999}]}]")),
    Step("create --dry-run=server -f -", r"must be between 1 and 65535, inclusive$", 1,
         pod("a", "[{name: a, image: b, ports: [{containerPort: 99999}]}]")),
    Step("create --dry-run=client -f -", r"^pod/a created \(dry run\)$", stdin=pod("a", "[{name: a, image: b}]")),
    Step("create --dry-run=server -f -", r"^pod/a created \(server dry run\)$", stdin=pod("a", "[{name: a, image: b}]")),
    Step("get pod a", r"NotFound", 1),
    Step("create -f -", rf'^\* metadata.name: Invalid value: "a_1": {NOT_A_SUBDOMAIN}', 1, pod("a_1", "[]")),
    Step("create -f -", r"^\* spec.containers: Required value$", 1, pod("a_1", "[]")),
    Step("create -f -", r'^The ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required$|'
         r"^error: .*resource name may not be empty$", 1, "apiVersion: v1\nkind: ConfigMap\n"),
    Step("apply -f -", r'^error: resource mapping not found for name: "a" namespace: "" from "STDIN": no matches for kind "Nope"'
         r' in version "v1"$', 1, "apiVersion: v1\nkind: Nope\nmetadata: {name: a}\n"),
    Step("apply -f -", r'no matches for kind "Deployment" in version "apps/v9"$', 1, "apiVersion: apps/v9\nkind: Deployment\nmetadata: {name: a}\n"),
    Step("apply -f -", r"apiVersion not set", 1, "kind: ConfigMap\nmetadata: {name: a}\n"),
    Step("apply -f -", r"^error: error parsing STDIN: error converting YAML to JSON: yaml: ", 1, "kind: {a\n"),
]  # fmt: skip

NAMESPACE = [
    Step("create ns {ns}-x", r"created$"),
    Step(f"create deployment d --image={IMAGE} -n {{ns}}-x -- {STAY}", r"created$"),
    Step("wait --for=condition=Available deploy/d -n {ns}-x --timeout=20s", r"met$"),
    Step("delete ns {ns}-x --timeout=20s", r'^namespace "\S+" deleted$'),
    Step("get ns {ns}-x", r"NotFound", 1),
    Step("get deploy,rs,pods,cm -n {ns}-x", r"^No resources found"),
]

TABLES = {
    "create": CREATE,
    "apply": APPLY,
    "server-side": SERVER_SIDE,
    "change": CHANGE,
    "delete": DELETE,
    "validation": VALIDATION,
    "namespace": NAMESPACE,
}


@pytest.mark.parametrize("name", TABLES)
def test_changing(kubectl: Kubectl, name: str) -> None:
    kubectl.walk([step._replace(command=step.command.replace("{ns}", kubectl.namespace)) for step in TABLES[name]])


def test_kustomize(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(CONFIG_MAP)
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [one.yaml]\nnamePrefix: k-\nconfigMapGenerator: [{name: made, literals: [a=b]}]\n"
    )
    kubectl.walk(
        [
            Step("kustomize .", r"^  name: k-one$"),
            Step("apply -k .", r"^configmap/k-made-\w+ created\nconfigmap/k-one created$"),
            Step("delete -k .", r'^configmap "k-one" deleted$'),
        ]
    )
