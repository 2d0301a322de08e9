"""``jsonpatch.escapeKey``. Source: Kubernetes docs, "Mutating Admission Policy", "JSONPatch"."""

from typing import Final

from tiphys.machinery.cel.library.charges import text_charge

ROWS: Final = (
    (
        "jsonpatch.escapeKey",
        "string_jsonpatch_escapeKey_string",
        "string -> string",
        lambda key: key.replace("~", "~0").replace("/", "~1"),
        text_charge,
    ),
)
