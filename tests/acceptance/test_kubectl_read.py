"""kubectl commands that only look: get, describe, explain, discovery, auth, events, raw paths."""

import os

import pytest

from tests.acceptance.outside import Kubectl, Step

GET = [
    Step("get pods -o wide", r"^NAME +READY +STATUS +RESTARTS +AGE +IP +NODE +NOMINATED NODE +READINESS GATES$"),
    Step("get pods -l app=web --no-headers", r"^web-[a-z0-9]+-[a-z0-9]{5} +1/1 +Running +0 +\d+s$"),
    Step("get pods -o name", r"^pod/pair$"),
    Step("get pods,svc -o name", r"^pod/pair\n(pod/web-\S+\n)+service/web$"),
    Step("get deploy,rs,svc -o wide", r"^deployment.apps/web +2/2 +2 +2 +\S+ +httpd +tiphys.dev/host +app=web$"),
    Step("get rs -o wide", r"^web-\S+ +2 +2 +2 +\S+ +httpd +tiphys.dev/host +app=web,pod-template-hash="),
    Step("get svc web", r"^web +ClusterIP +\d+\.\d+\.\d+\.\d+ +<none> +80/TCP +\d+s$"),
    Step("get endpointslices", r"^web-\w{5} +IPv4 +8080 +\d+\.\d+\.\d+\.\d+,\d+\.\d+\.\d+\.\d+ +\d+s$"),
    Step(
        "get endpoints web", r"^Warning: v1 Endpoints is deprecated in v1.33\+; use discovery.k8s.io/v1 EndpointSlice$"
    ),
    Step("get endpoints web", r"^web +\d+\.\d+\.\d+\.\d+:8080,\d+\.\d+\.\d+\.\d+:8080 +\d+s$"),
    Step("get ns", r"^kube-system +Active +"),
    Step("get nodes", r"^\S+ +Ready +<none> +\d+s +v1\.36\.\d+$"),
    Step("get node -o wide", r"CONTAINER-RUNTIME\n.* Ready .* \d+\.\d+\.\d+\.\d+ .* tiphys://"),
    Step("get sa,cm,secret", r"^configmap/kube-root-ca.crt +1 +"),
    Step("get secret", r"^password +Opaque +1 +"),
    Step("get all", r"^deployment.apps/web +2/2 +2 +2 "),
    Step("get clusterrolebinding cluster-admin -o wide", r"ClusterRole/cluster-admin +\S+ +system:masters"),
    Step("get priorityclass", r"^system-node-critical +2000001000 +false +\S+ +PreemptLowerPriority$"),
    Step("get lease -A", r"^kube-node-lease +\S+ +\S+ +\d+s$"),
    Step("get pod pair -o yaml", r"^  phase: Running$"),
    Step("get pod pair -o json", r'^    "kind": "Pod",$'),
    Step("get pods -o json", r'^    "kind": "List",$'),
    Step("get deploy web -o jsonpath='{.status.readyReplicas}/{.spec.strategy.type}'", r"\A2/RollingUpdate\Z"),
    Step("get pods -l app=web -o jsonpath='{range .items[*]}{.metadata.labels.app}{\"\\n\"}{end}'", r"\Aweb\nweb\n\Z"),
    Step("get svc -o custom-columns=N:.metadata.name,P:.spec.ports[*].port,X:.nope", r"^N +P +X\nweb +80 +<none>$"),
    Step("get pods -o go-template='{{range .items}}{{.metadata.name}} {{end}}'", r"^pair web-"),
    Step("get pods --show-labels", r"^pair .* kind=pair$"),
    Step("get pods -L app,kind", r"^pair +2/2 +Running +0 +\S+ +pair$"),
    Step("get pods --show-kind", r"^pod/pair "),
    Step("get pods --sort-by=.metadata.name", r"^pair .*\nweb-"),
    Step("get pods --sort-by='{.metadata.creationTimestamp}' -o name", r"pod/pair"),
    Step("get pods -A --chunk-size=1", r"^shop +web-"),
    Step("get pods --field-selector=status.phase=Running,metadata.name=pair -o name", r"\Apod/pair\n\Z"),
    Step("get pods --field-selector=status.phase!=Running", r"\ANo resources found in shop namespace.\n\Z"),
    Step(
        "get pods --field-selector=bogus=1",
        r"^Error from server \(BadRequest\): .*field label not supported: bogus$",
        1,
    ),
    Step("get pods -l 'app in (web,x),!kind' -o name", r"\A(pod/web-\S+\n){2}\Z"),
    Step("get pods -l 'app notin (web)' -o name", r"\Apod/pair\n\Z"),
    Step("get deploy web --subresource=scale -o yaml", r"^  selector: app=web$"),
    Step("get pods nope", r'^Error from server \(NotFound\): pods "nope" not found$', 1),
    Step("get nope", r'^error: the server doesn\'t have a resource type "nope"$', 1),
    Step("get pods nope --ignore-not-found", r"\A\Z"),
    Step("get pods -n nowhere", r"\ANo resources found in nowhere namespace.\n\Z"),
    Step("get pods --as=bob", r'pods is forbidden: User "bob" cannot list resource "pods" in API group ""', 1),
    Step("get pods --v=6", r"GET https://\S+/api/v1/namespaces/shop/pods\?limit=500 200 OK in \d+ milliseconds$"),
    Step("get sts,ds,rc,job,cronjob,pvc,pv,netpol,ing,quota,limits,pdb,hpa,csr", r"\ANo resources found\n\Z"),
]

DESCRIBE = [
    Step("describe pod pair", r"^Service Account: +default$"),
    Step(
        "describe pod pair", r"^      GREETING: +<set to the key 'GREETING' of config map 'greeting'> +Optional: false$"
    ),
    Step("describe pod pair", r"^      Reason: +Completed$"),
    Step("describe pod pair", r"^  PodReadyToStartContainers +True *\n  Initialized +True *\n  Ready +True"),
    Step("describe pod pair", r"Normal +Scheduled +\S+ +default-scheduler +Successfully assigned shop/pair to "),
    Step("describe pod pair", r"Normal +Started +\S+ +kubelet +Container started$"),
    Step("describe deploy web", r"^Replicas: +2 desired \| 2 updated \| 2 total \| 2 available \| 0 unavailable$"),
    Step(
        "describe deploy web",
        r"ScalingReplicaSet +\S+ +deployment-controller +Scaled up replica set web-\S+ from 0 to 2$",
    ),
    Step("describe rs", r"^Controlled By: +Deployment/web$"),
    Step("describe rs", r"SuccessfulCreate +\S+ +replicaset-controller +Created pod: web-"),
    Step("describe svc web", r"^Endpoints: +\d+\.\d+\.\d+\.\d+:8080,\d+\.\d+\.\d+\.\d+:8080$"),
    Step("describe node", r"^  Ready +True .* KubeletReady +kubelet is posting ready status$"),
    Step("describe node", r"^  shop +pair +0 \(0%\)"),
    Step(
        "describe node",
        r"^  Normal +RegisteredNode +\S+ +node-controller +Node \S+ event: Registered Node \S+ in Controller$",
    ),
    Step(
        "describe node",
        r"^  Normal +NodeHasSufficientMemory +\S+ +kubelet +Node \S+ status is now: NodeHasSufficientMemory$",
    ),
    Step("describe node", r"^  Normal +NodeReady +\S+ +kubelet +Node \S+ status is now: NodeReady$"),
    Step("describe ns shop", r"^Labels: +kubernetes.io/metadata.name=shop$"),
    Step("describe sa default", r"^Image pull secrets: +<none>$"),
    Step("describe secret password", r"^PASSWORD: +6 bytes$"),
    Step("describe cm greeting", r"^GREETING:\n----\nhello$"),
    Step("describe endpoints web", r"^    <unset> +8080 +TCP$"),
    Step("describe endpointslice", r"^    TargetRef: +Pod/web-"),
    Step("describe clusterrole view", r"^  pods/log +\[\] +\[\] +\[get list watch\]$"),
    Step("describe pod nope", r'^Error from server \(NotFound\): pods "nope" not found$', 1),
]

DISCOVERY = [
    Step("api-resources", r"^deployments +deploy +apps/v1 +true +Deployment$"),
    Step("api-resources --namespaced=false -o name", r"^nodes\n"),
    Step("api-resources --verbs=list,watch --api-group=apps -o name", r"^replicasets.apps$"),
    Step("api-versions", r"^rbac.authorization.k8s.io/v1$"),
    Step("cluster-info", r"Kubernetes control plane.* is running at .*https://127.0.0.1:\d+"),
    Step(
        "cluster-info -n kube-system",
        r"CoreDNS.* is running at .*/api/v1/namespaces/kube-system/services/kube-dns:dns/proxy",
    ),
    Step("version", r"^Server Version: v1\.36\.\d+$"),
    Step("version -o json", r'"minor": "36"'),
    Step("explain pod", r"^KIND: +Pod\nVERSION: +v1$"),
    Step("explain pod.spec.containers.resources", r"^FIELD: resources <ResourceRequirements>$"),
    Step("explain deploy --recursive", r"^ +terminationGracePeriodSeconds\t<integer>$"),
    Step("explain deployment.spec.strategy.type", r"^FIELD: type <string>$"),
    Step("explain pod.spec.nope", r'^error: field "nope" does not exist$', 1),
    Step("explain svc --output=plaintext-openapiv2", r"^KIND: +Service\nVERSION: +v1$"),
    Step("get --raw /version", r'"gitVersion": ?"v1\.36\.\d+"'),
    Step("get --raw /readyz?verbose", r"^readyz check passed$"),
    Step("get --raw /livez", r"\Aok\Z"),
    Step("get --raw /healthz", r"\Aok\Z"),
    Step("get --raw /metrics", r"^apiserver_request_total\{"),
    Step("get --raw /nope", r"^Error from server \(NotFound\): the server could not find the requested resource$", 1),
    Step("get --raw /api/v1/namespaces/shop/pods?limit=1", r'"remainingItemCount": ?2'),
    Step("top node", r"^error: Metrics API not available$", 1),
    Step("top pod", r"^error: Metrics API not available$", 1),
    Step("config current-context", r"^tiphys-acceptance-\d+$"),
    Step("config view", r"^    certificate-authority-data: DATA\+OMITTED$"),
    Step("config get-contexts", r"^\* +tiphys-acceptance-"),
    Step("completion bash", r"kubectl"),
    Step("__complete get pods pa", r"^pair$"),
    Step("__complete get deploy ''", r"^web$"),
]

AUTH = [
    Step("auth can-i create pods", r"\Ayes\n\Z"),
    Step("auth can-i delete pods --as=system:serviceaccount:shop:default", r"\Ano\n\Z", 1),
    Step("auth can-i get /metrics --as=bob", r"\Ano\n\Z", 1),
    Step("auth can-i get /version --as=bob", r"\Ayes\n\Z"),
    Step("auth can-i --list", r"^\*\.\* +\[\] +\[\] +\[\*\]$"),
    Step("auth can-i --list --as=bob", r"^selfsubjectreviews.authentication.k8s.io +\[\] +\[\] +\[create\]$"),
    Step("auth whoami", r"^Groups +\[system:masters system:authenticated\]$"),
    Step("auth whoami --as=bob --as-group=x -o yaml", r"^    username: bob$"),
    Step("events --for pod/pair", r"Normal +Scheduled +Pod/pair +Successfully assigned shop/pair to "),
    Step("events --types=Warning", r"^No events found in shop namespace.$"),
    Step(
        "get events --field-selector=involvedObject.name=web,reason=ScalingReplicaSet",
        r"Normal +ScalingReplicaSet +deployment/web",
    ),
    Step("wait --for=condition=Available deploy/web --timeout=5s", r"^deployment.apps/web condition met$"),
    Step(
        "wait --for=jsonpath='{.status.readyReplicas}'=2 deploy/web --timeout=5s",
        r"^deployment.apps/web condition met$",
    ),
    Step(
        "wait --for=condition=Nope deploy/web --timeout=1ms",
        r"^error: timed out waiting for the condition on deployments/web$",
        1,
    ),
]


@pytest.mark.parametrize("steps", [GET, DESCRIBE, DISCOVERY, AUTH], ids=["get", "describe", "discovery", "auth"])
def test_reading(shop: Kubectl, steps: list[Step]) -> None:
    shop.walk(steps)


def test_get_watch(kubectl: Kubectl) -> None:
    """Rows come as objects change, until the time is over."""
    kubectl("create configmap first --from-literal=a=b")
    watcher = kubectl.start("get configmap first -w --no-headers --output-watch-events --request-timeout=2s")
    assert watcher.stdout is not None
    assert os.fsdecode(watcher.stdout.readline()).split()[:2] == ["ADDED", "first"]
    kubectl("label configmap first x=y")
    assert os.fsdecode(watcher.stdout.readline()).split()[:2] == ["MODIFIED", "first"]
    kubectl("delete configmap first")
    assert os.fsdecode(watcher.stdout.readline()).split()[:2] == ["DELETED", "first"]
    watcher.terminate()
    watcher.communicate()
