"""kubectl commands that make applications move: rollouts, scaling, exposing, nodes."""

import json

import pytest

from tests.acceptance.outside import Kubectl, Step

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  replicas: 2
  selector: {matchLabels: {app: d}}
  template:
    metadata: {labels: {app: d}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: c, image: tiphys.dev/host, imagePullPolicy: IfNotPresent, command: [sleep, "1000"]}]
"""

ROLLOUT = [
    Step("create -f - --save-config", r"^deployment.apps/d created$", stdin=DEPLOYMENT),
    Step("rollout status deploy/d --timeout=20s", r'^deployment "d" successfully rolled out$'),
    Step("set env deploy/d A=B", r"^deployment.apps/d env updated$"),
    Step("set env deploy/d --list", r"^A=B$"),
    Step("rollout status deploy/d --timeout=20s", r'^deployment "d" successfully rolled out$'),
    Step("annotate deploy/d kubernetes.io/change-cause=because", r"annotated$"),
    Step("set image deploy/d c=tiphys.dev/host:latest", r"^deployment.apps/d image updated$"),
    Step("set image deploy/d nope=x", r'^error: unable to find container named "nope"$', 1),
    Step("set resources deploy/d --limits=memory=64Mi", r"^deployment.apps/d resource requirements updated$"),
    Step("set serviceaccount deploy/d default", r"^deployment.apps/d serviceaccount updated$"),
    Step("rollout status deploy/d --timeout=20s", r'^deployment "d" successfully rolled out$'),
    Step("wait --for=jsonpath='{.metadata.annotations.deployment\\.kubernetes\\.io/revision}'=5 deploy/d --timeout=10s", r"met$"),
    Step("rollout history deploy/d", r"^REVISION  CHANGE-CAUSE\n1 +<none>\n2 +because\n"),
    Step("rollout history deploy/d --revision=2", r"^      A:\tB$"),
    Step("rollout undo deploy/d --to-revision=1", r"^deployment.apps/d rolled back$"),
    Step("rollout status deploy/d --timeout=20s", r'^deployment "d" successfully rolled out$'),
    Step("get deploy d -o jsonpath='{.spec.template.spec.containers[0].env}'", r"\A\Z"),
    Step("rollout undo deploy/d", r"^deployment.apps/d rolled back$"),
    Step("rollout undo deploy/d --to-revision=99", r"^error: unable to find specified revision 99 in history$", 1),
    Step("rollout pause deploy/d", r"^deployment.apps/d paused$"),
    Step("rollout pause deploy/d", r'^error: deployments.apps "d" is already paused$', 1),
    Step("rollout restart deploy/d", r"can't restart paused deployment", 1),
    Step("rollout resume deploy/d", r"^deployment.apps/d resumed$"),
    Step("rollout restart deploy/d", r"^deployment.apps/d restarted$"),
    Step("rollout status deploy/d --timeout=20s", r'^deployment "d" successfully rolled out$'),
    Step("set image deploy/d c=registry.invalid/nope:1", r"^deployment.apps/d image updated$"),
    Step("patch deploy d -p '{\"spec\":{\"progressDeadlineSeconds\":1}}'", r"patched$"),
    Step("rollout status deploy/d --timeout=20s", r'^error: deployment "d" exceeded its progress deadline$', 1),
    Step("describe deploy d", r"^  Progressing +False +ProgressDeadlineExceeded$"),
    Step("delete deploy d --cascade=foreground", r"deleted$"),
]  # fmt: skip

SCALE = [
    Step("apply -f -", r"^deployment.apps/d created$", stdin=DEPLOYMENT),
    Step("scale deploy d --replicas=3", r"^deployment.apps/d scaled$"),
    Step("wait --for=jsonpath='{.status.readyReplicas}'=3 deploy/d --timeout=20s", r"met$"),
    Step("scale deploy d --replicas=1 --current-replicas=5", r"^error: Expected replicas to be 5, was 3$", 1),
    Step("patch deploy d --subresource=scale --type=merge -p '{\"spec\":{\"replicas\":1}}'", r"^scale.autoscaling/\S+ patched$"),
    Step("wait --for=jsonpath='{.status.replicas}'=1 deploy/d --timeout=20s", r"met$"),
    Step("autoscale deploy d --min=1 --max=3", r"^horizontalpodautoscaler.autoscaling/d autoscaled$"),
    Step("get hpa", r"^d +Deployment/d +cpu: <unknown>/80% +1 +3 +\d "),
    Step("expose deploy d --port=81 --target-port=8080", r"^service/d exposed$"),
    Step("expose deploy d --name=np --type=NodePort --port=81", r"^service/np exposed$"),
    Step("get svc np", r"^np +NodePort +\S+ +<none> +81:3\d{4}/TCP "),
    Step("set selector svc d a=b", r"^service/d selector updated$"),
    Step("expose deploy nope --port=1", r"NotFound", 1),
    Step("run r --image=tiphys.dev/host --image-pull-policy=IfNotPresent --expose --port=80 --labels=a=b -- sleep 1000",
         r"^service/r created\npod/r created$"),
    Step("wait --for=condition=Ready pod/r --timeout=20s", r"met$"),
    Step("wait --for=jsonpath='{.subsets[0].addresses[0].targetRef.name}'=r endpoints/r --timeout=10s", r"met$"),
    Step("wait --for=jsonpath='{.endpoints[0].conditions.ready}'=true endpointslice -l kubernetes.io/service-name=r --timeout=9s", r"met$"),
    Step("run bad --image=registry.invalid/nope:1", r"^pod/bad created$"),
    Step("wait --for=jsonpath='{.status.containerStatuses[0].state.waiting.reason}'=ErrImagePull pod/bad --timeout=20s", r"met$"),
    Step("events --for pod/bad --types=Warning", r'Failed +Pod/bad +Failed to pull image "registry.invalid/nope:1": '),
    Step("run once --image=tiphys.dev/host --image-pull-policy=IfNotPresent --restart=Never -- /nope", r"^pod/once created$"),
    Step("wait --for=jsonpath='{.status.phase}'=Failed pod/once --timeout=20s", r"met$"),
    Step("describe pod once", r'exec: "/nope": .*no such file or directory'),
    Step("delete pod,deploy,svc,hpa --all --force", r"deleted"),
]  # fmt: skip


@pytest.mark.parametrize("steps", [ROLLOUT, SCALE], ids=["rollout", "scale"])
def test_workloads(kubectl: Kubectl, steps: list[Step]) -> None:
    kubectl.walk(steps)


def test_nodes(kubectl: Kubectl) -> None:
    """Cordon, taint and drain, on a node of the test's own that no kubelet stands behind."""
    node = kubectl.namespace
    manifest = f"apiVersion: v1\nkind: Node\nmetadata: {{name: {node}}}\n"
    pod = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: p}}\nspec: {nodeName: %s, "
        "terminationGracePeriodSeconds: 0, tolerations: [{operator: Exists}], containers: [{name: c, image: i}]}\n"
    )
    kubectl.walk(
        [
            Step("create -f -", r"created$", stdin=manifest),
            Step(f"cordon {node}", rf"^node/{node} cordoned$"),
            Step(f"cordon {node}", rf"^node/{node} already cordoned$"),
            Step(f"get node {node}", rf"^{node} +\S+,SchedulingDisabled "),
            Step(f"uncordon {node}", rf"^node/{node} uncordoned$"),
            Step(f"taint node {node} a=b:NoSchedule", rf"^node/{node} tainted$"),
            Step(f"describe node {node}", r"a=b:NoSchedule$"),
            Step(f"taint node {node} a=b:NoSchedule", r"already has a taint|already has", 1),
            Step(f"taint node {node} a-", rf"^node/{node} untainted$"),
            Step("create -f -", r"created$", stdin=pod % node),
            Step(f"drain {node}", r"cannot delete .*Pods that declare no controller", 1),
            Step(f"drain {node} --force --timeout=10s", rf"^pod/p evicted\nnode/{node} drained$"),
            Step("get pod p", r"NotFound", 1),
            Step(f"delete node {node}", r"deleted$"),
        ]
    )


def test_a_budget_holds_evictions_back(kubectl: Kubectl) -> None:
    """What a PodDisruptionBudget forbids is refused in the way that makes kubectl try again."""
    kubectl("apply -f -", stdin=DEPLOYMENT)
    kubectl("rollout status deploy/d --timeout=20s")
    kubectl("create pdb b --selector=app=d --min-available=2")
    kubectl("wait --for=jsonpath={.status.currentHealthy}=2 pdb/b --timeout=10s")
    (pod, *_) = kubectl("get pods -l app=d -o jsonpath={.items[*].metadata.name}").split()
    body = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}})
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{pod}/eviction"
    done = kubectl.run(f"create --raw {path} -f -", stdin=body)
    assert done.returncode == 1
    assert "Cannot evict pod as it would violate the pod's disruption budget." in done.stdout
    kubectl("delete pdb b")
    assert '"Success"' in kubectl(f"create --raw {path} -f -", stdin=body)
