"""Images: references, archives, registries, unpacked layers.

Reading order: ``reference.py``, ``unpack.py`` (one layer), ``store.py`` (what is here),
``archive.py`` (docker-archive and OCI layout), ``registry.py`` (pull), ``host.py`` (the machine's own /usr).
"""
