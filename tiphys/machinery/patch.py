"""Patches on plain dicts and lists: RFC 6902, RFC 7386 and strategic merge.

None of them changes its arguments; the result may share parts with them.
"""

from tiphys.machinery.jsonpatch import json_patch
from tiphys.machinery.mergepatch import merge_patch
from tiphys.machinery.strategic import strategic_merge

__all__ = ["json_patch", "merge_patch", "strategic_merge"]
