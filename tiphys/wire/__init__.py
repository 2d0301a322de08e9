"""Protocols without sockets: no asyncio, socket or os import here.

``exchange.py`` is the request and response that every transport carries.
"""
