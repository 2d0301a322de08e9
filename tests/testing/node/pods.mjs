// Creates a Pod and watches until it runs.
import { KubeConfig, CoreV1Api, Watch } from "@kubernetes/client-node";

const config = new KubeConfig();
config.loadFromFile(process.argv[2]);
const core = config.makeApiClient(CoreV1Api);
const body = { metadata: { name: "from-node" }, spec: { containers: [{ name: "c", image: "nginx:1" }] } };
await core.createNamespacedPod({ namespace: "default", body });
const controller = await new Watch(config).watch(
  "/api/v1/namespaces/default/pods",
  {},
  (type, pod) => {
    if (pod.status.phase === "Running") {
      console.log(`${pod.metadata.name} ${pod.status.phase}`);
      controller.abort();
      process.exit(0);
    }
  },
  () => process.exit(1),
);
