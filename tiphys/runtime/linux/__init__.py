"""The kernel, called thinly: nothing here knows what a container is.

``syscalls.py`` is the only module of tiphys that uses ``ctypes``.
"""
