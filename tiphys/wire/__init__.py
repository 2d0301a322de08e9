"""Protocols without sockets: no asyncio, socket or os import here.

``exchange.py`` is the request and response that every transport carries.
``http1.py`` reads and writes the heads of requests and responses around an
upgrade; behind one, ``websocket.py`` and ``spdy.py`` are connections;
``channels.py`` is what Kubernetes says over them (exec, attach, port-forward);
``watch.py`` is the stream of a watch. ``dns.py`` is DNS messages. ``netlink.py``
is the kernel's message format, with ``rtnetlink.py``, ``nftables.py`` and
``conntrack.py`` on it.

Each machine takes bytes as they arrive, in pieces of any size, and returns what
they mean; what it is asked to say it returns as bytes. Who owns the socket
moves both.
"""
