"""Stock kubectl with custom resources: apply, wait, get, explain, patch, scale, delete."""

import shutil
from pathlib import Path

import pytest

from tests.apiserver.secure import secured
from tests.apiserver.test_apply_kubectl import Kubectl

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Spec, type: string, jsonPath: .spec.cronSpec, description: The schedule}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    selectableFields: [{jsonPath: .spec.image}]
    schema:
      openAPIV3Schema:
        type: object
        description: A job at set times.
        properties:
          spec:
            type: object
            properties:
              cronSpec: {type: string, description: When to run.}
              image: {type: string}
              replicas: {type: integer, default: 1, minimum: 0}
          status:
            type: object
            properties: {replicas: {type: integer}}
"""

CRONTAB = """
apiVersion: stable.example.com/v1
kind: CronTab
metadata: {{name: mine, namespace: default}}
spec: {{cronSpec: "* * * * */5", image: {image}}}
"""


async def test_a_life_by_kubectl(tmp_path: Path) -> None:
    async with secured(tmp_path) as secure:
        kubectl = Kubectl(secure, tmp_path)

        async def ok(*words: str, given: str = "") -> str:
            code, out = await kubectl(*words, given=given)
            assert code == 0, (words, out)
            return out

        await ok("apply", "-f", "-", given=CRD)
        await ok("wait", "--for=condition=Established", "crd/crontabs.stable.example.com", "--timeout=5s")
        assert "ct" in await ok("api-resources", "--api-group=stable.example.com")
        assert "created" in await ok("apply", "-f", "-", given=CRONTAB.format(image="a"))
        assert "configured" in await ok("apply", "-f", "-", given=CRONTAB.format(image="b"))
        assert "serverside-applied" in await ok(
            "apply", "--server-side", "--force-conflicts", "-f", "-", given=CRONTAB.format(image="c")
        )
        lines = (await ok("get", "ct")).splitlines()
        assert lines[0].split() == ["NAME", "SPEC", "REPLICAS", "AGE"]
        assert lines[1].split()[:1] == ["mine"]
        assert "mine" in await ok("get", "all")
        assert "mine" in await ok("get", "crontabs", "--field-selector=spec.image=c")
        assert "mine" not in await ok("get", "crontabs", "--field-selector=spec.image=x")
        assert "When to run." in await ok("explain", "crontabs.spec.cronSpec")
        await ok("patch", "crontab/mine", "--type=merge", "-p", '{"spec":{"replicas":2}}')
        await ok("scale", "crontab/mine", "--replicas=5")
        assert await ok("get", "crontab/mine", "-o", "jsonpath={.spec.replicas}") == "5"
        await ok("label", "crontab/mine", "a=b")
        code, out = await kubectl("apply", "-f", "-", given=CRONTAB.format(image="c") + "bogus: 1\n")
        assert code != 0 and 'unknown field "bogus"' in out
        code, out = await kubectl("patch", "crontab/mine", "--type=merge", "-p", '{"spec":{"replicas":-1}}')
        assert code != 0 and "should be greater than or equal to 0" in out
        await ok("delete", "crd", "crontabs.stable.example.com", "--timeout=10s")
        code, out = await kubectl("get", "crontabs")
        assert code != 0 and "the server could not find the requested resource" in out
