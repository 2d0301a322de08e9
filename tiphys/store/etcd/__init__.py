"""The store on etcd, for several API servers at once. See ``store.py``; ``messages.proto`` is what is said."""
