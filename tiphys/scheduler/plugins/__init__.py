"""Filters and scores, one module per plugin of the scheduling framework, one row each in ``registry.py``.

``interface.py`` says what a plugin is.
"""
