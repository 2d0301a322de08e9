"""The loops that make objects true: each watches some kinds and writes others, through the API alone.

Read ``base.py`` (what a controller is), ``loop.py`` (all of them, one row each),
then any folder: its ``__init__`` is a manual page, ``desired.py`` decides,
``controller.py`` wires. Shared facts: ``pods.py``, ``ownership.py``.
"""
