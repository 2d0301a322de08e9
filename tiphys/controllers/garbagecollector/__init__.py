"""Name
    garbagecollector - deletes what no owner holds any more

Watches
    every resource that can be listed, watched and deleted, except Events

Writes
    deletes dependents; owner references; the finalizers foregroundDeletion and orphan

Emits
    nothing

Files
    graph.py       who owns whom, and what an event gives reason to look at
    desired.py     what becomes of one object, given its owners
    controller.py  wiring

Source
    Kubernetes docs, "Garbage Collection", "Owners and Dependents"
"""
