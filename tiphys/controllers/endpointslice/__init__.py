"""Name
    endpointslice - lists the Pods behind each Service, in slices of a hundred

Watches
    Services, Pods, Nodes (zones), EndpointSlices

Writes
    EndpointSlices labelled managed-by endpointslice-controller.k8s.io

Emits
    FailedToUpdateEndpointSlices, TopologyAwareHintsEnabled, TopologyAwareHintsDisabled on the Service

Files
    desired.py (endpoints and ports of a Service), hints.py (for which zones and nodes),
    packing.py (into which slices), writer.py, controller.py

Source
    Kubernetes docs, "EndpointSlices"; KEP-752 EndpointSlice; KEP-1672 terminating endpoints
"""
