"""Name
    endpointslicemirroring - copies Endpoints that users write into slices, which proxies and DNS read

Watches
    Endpoints, Services without selector, EndpointSlices

Writes
    EndpointSlices labelled managed-by endpointslicemirroring-controller.k8s.io, owned by the Endpoints

Emits
    TooManyAddressesToMirror, InvalidAddressesToMirror, FailedToUpdateEndpointSlices on the Endpoints

Files
    desired.py (what is copied), controller.py; packing and writing are the endpointslice controller's

Source
    Kubernetes docs, "EndpointSlices", "EndpointSlice mirroring"; KEP-752
"""
