"""The command line: one module per verb below ``verbs/``, imported only when its verb is called.

Reading order: ``main.py`` (verbs and how they are found), ``cluster.py`` (a cluster on disk),
``supervisor/`` (the process that owns all others), ``verbs/``.
"""

from tiphys.cli.main import main

__all__ = ["main"]
