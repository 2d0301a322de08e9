"""Strategic merge patch. Source: Kubernetes docs, "Update API Objects in Place Using kubectl patch"."""

from typing import Any

from tiphys.machinery.mergepatch import merge_patch


def strategic_merge(cls: type[Any], doc: Any, patch: Any) -> Any:
    return merge_patch(doc, patch)
