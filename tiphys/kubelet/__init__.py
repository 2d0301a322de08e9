"""The kubelet: runs the Pods of one node.

Name: kubelet
Watches: the Pods of its node, its Node, Services, and by name the ConfigMaps and Secrets that its Pods use.
Writes: Pod status, deletion of Pods that have ended, its Node and Lease, tokens, Events.
Emits: Pulling, Pulled, Created, Started, Killing, BackOff, Failed, Unhealthy, FailedMount and the others of Kubernetes.
Metrics: ``metrics``.
Source: Kubernetes docs, "Nodes", "Pod Lifecycle"; the CRI.

Read in this order:

- ``facts``, ``worker``: what is known of a Pod, and what is decided from it (pure)
- ``status``, ``phase``, ``conditions``: what is reported (pure)
- ``restart``, ``backoff``, ``qos``, ``probes``, ``admission``: rules (pure)
- ``environment``, ``downward``, ``expansion``, ``names``, ``security``, ``containers``, ``volumes``:
  what the runtime is told
- ``agent``: carries out what the worker decides; ``prober``, ``probing``, ``images``, ``statuswriter`` help it
- ``observer``: what the runtime has; ``node``, ``nodestatus``, ``machine``: the Node object
- ``server``, ``endpoints``, ``logs``, ``streams``: what others ask of the node
- ``loop``: all of it together
"""
