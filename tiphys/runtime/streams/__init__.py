"""What happens on a streaming connection once it is upgraded.

Reading order: ``descriptors.py`` (pipes and terminals without blocking), ``transport.py``
(bytes of a client, plain or inside WebSocket messages), ``sessions.py`` (the channels of
exec and attach, over WebSocket and SPDY), ``commands.py`` (exec and attach),
``ports.py`` (port-forward).
"""
