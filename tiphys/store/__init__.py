"""An ordered, revisioned key-value store with the guarantees that Kubernetes takes from etcd.

Read ``interface.py`` first; ``memory.py`` and ``sqlite.py`` implement it.
"""
