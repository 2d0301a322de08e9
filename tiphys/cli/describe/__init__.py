"""``tiphys describe``: one object in words, as kubectl describes it, with the events about it.

``writer.py`` lines text up, ``parts.py`` holds what many kinds have; each
other module describes some kinds. A kind without a module of its own is
described field by field (``generic.py``).
"""

from tiphys.cli.describe.table import describe

__all__ = ["describe"]
