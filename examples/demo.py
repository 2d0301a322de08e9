"""Wait for the demo application and say where it answers; run by ``make up``."""

import asyncio

from tiphys.api import apps_v1, core_v1
from tiphys.cli import identities
from tiphys.cli.cluster import DEFAULT_NAME, Cluster
from tiphys.cli.readiness import until
from tiphys.machinery.conditions import is_true


async def main() -> None:
    cluster = Cluster.named(DEFAULT_NAME, None)
    async with identities.client(cluster, cluster.load(), "admin", "demo") as client:
        async with asyncio.timeout(60):
            await until(
                client, apps_v1.Deployment, "default", "hello", lambda d: is_true(d.status.conditions, "Available")
            )
        service = await client.of(core_v1.Service).get("hello", "default")
    print(f'The demo answers at http://{service.spec.clusterIP}/ (try "curl http://{service.spec.clusterIP}/").')


if __name__ == "__main__":
    asyncio.run(main())
