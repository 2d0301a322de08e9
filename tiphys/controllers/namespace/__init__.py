"""Name
    namespace - empties a namespace that is being deleted, then lets it go

Watches
    Namespaces; deletions of Pods

Writes
    deletes everything in the namespace; Namespace status and finalizers

Emits
    nothing

Files
    desired.py (conditions), controller.py

Source
    Kubernetes docs, "Namespaces"; KEP-5080 ordered namespace deletion
"""
