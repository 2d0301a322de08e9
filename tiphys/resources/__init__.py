"""What the API serves: one row per resource, and the rules that a row names.

``rules.py`` is the shape of rows and strategies, ``table.py`` collects all rows.
Below, one module per resource, ``<group>/<resource>.py``, always in the same order:
row, defaults, validation, strategy, columns.
"""
