"""Name
    endpoints - lists the Pods behind each Service in one object, as older clients read it

Watches
    Services, Pods, Endpoints

Writes
    Endpoints

Emits
    FailedToCreateEndpoint, FailedToUpdateEndpoint on the Endpoints

Files
    desired.py (subsets), controller.py

Source
    Kubernetes docs, "Services without selectors", "Over-capacity endpoints"
"""
