"""The three metrics APIs, as far as autoscaling reads them; amounts are in thousandths."""

from collections.abc import Mapping
from typing import Any

import msgspec

from tiphys.client import Client
from tiphys.controllers.podautoscaler.replicas import NoMetric, Sample
from tiphys.machinery import codec, errors, quantity, times

CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"


class MetricsClient:
    """Raises NoMetric with what the server said."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def resource(self, resource: str, namespace: str, selector: str, container: str) -> dict[str, Sample]:
        """Usage per Pod; Pods of which not all containers have been measured are left out."""
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"
        listed = await self._get("resource metrics API", path, {"labelSelector": selector})
        found: dict[str, Sample] = {}
        for item in listed:
            containers = [c for c in item.get("containers") or () if not container or c.get("name") == container]
            usages = [c.get("usage", {}).get(resource) for c in containers]
            if usages and all(usages):
                total = sum(quantity.milli(usage) for usage in usages)
                found[item["metadata"]["name"]] = _sample(item, total, item.get("window", "1m"))
        if not found:
            raise NoMetric("no metrics returned from resource metrics API")
        return found

    async def pods(self, metric: str, namespace: str, selector: str, of_metric: str) -> dict[str, Sample]:
        path = f"{CUSTOM}/namespaces/{namespace}/pods/*/{metric}"
        listed = await self._get(
            "custom metrics API", path, {"labelSelector": selector, "metricLabelSelector": of_metric}
        )
        return {item["describedObject"]["name"]: _sample(item, quantity.milli(item["value"])) for item in listed}

    async def object(self, plural: str, namespace: str, name: str, metric: str, of_metric: str) -> int:
        path = f"{CUSTOM}/namespaces/{namespace}/{plural}/{name}/{metric}"
        listed = await self._get("custom metrics API", path, {"metricLabelSelector": of_metric})
        if not listed:
            raise NoMetric("no metrics returned from custom metrics API")
        return quantity.milli(listed[0]["value"])

    async def external(self, namespace: str, metric: str, of_metric: str) -> int:
        """All series of the metric together."""
        listed = await self._get(
            "external metrics API", f"{EXTERNAL}/namespaces/{namespace}/{metric}", {"labelSelector": of_metric}
        )
        if not listed:
            raise NoMetric("no metrics returned from external metrics API")
        return sum(quantity.milli(item["value"]) for item in listed)

    async def _get(self, api: str, path: str, query: Mapping[str, str]) -> list[Any]:
        asked = {name: (text,) for name, text in query.items() if text}
        try:
            answer = codec.decode_builtins(await self._client.request("GET", path, query=asked))
        except (errors.StatusError, ConnectionError) as error:
            raise NoMetric(f"unable to fetch metrics from {api}: {error}") from error
        except msgspec.DecodeError as error:
            raise NoMetric(f"unable to fetch metrics from {api}: {error}") from error
        items: list[Any] = answer.get("items") or []
        return items


def _sample(item: Mapping[str, Any], value: int, window: str = "1m") -> Sample:
    return Sample(value, times.parse(item["timestamp"]), times.parse_duration(window))
