"""Wait for the demo application and say where it answers; run by ``make up`` after ``examples/demo.yaml`` is applied."""

import asyncio

from tiphys.api import apps_v1, core_v1
from tiphys.cli import identities
from tiphys.cli.cluster import DEFAULT_NAME, Cluster
from tiphys.machinery.conditions import is_true


async def main() -> None:
    cluster = Cluster.named(DEFAULT_NAME, None)
    async with identities.client(cluster, cluster.load(), "admin", "demo") as client:
        deployments = client.of(apps_v1.Deployment)
        async with asyncio.timeout(60):
            async for event in deployments.watch("default", fields="metadata.name=hello", resource_version="0"):
                if is_true(event.object.status.conditions, "Available"):
                    break
        service = await client.of(core_v1.Service).get("hello", "default")
    print(f'The demo answers at http://{service.spec.clusterIP}/ (try "curl http://{service.spec.clusterIP}/").')


if __name__ == "__main__":
    asyncio.run(main())
