"""Objects as YAML and JSON, the way Kubernetes' tools write them: keys sorted, two or four spaces."""

import json
import re
from collections.abc import Iterable
from typing import Any

import yaml


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Several lines as a block; what would read as something else in double quotes; the rest as YAML wants it."""
        style = None
        if "\n" in text:
            style = "|"
        elif text in _MISREAD or _FLOAT.fullmatch(text) or self._implied(text) != _STRING:
            style = '"'
        return self.represent_scalar(_STRING, text, style=style)

    def _implied(self, text: str) -> str:
        """The tag that the bare text would be read as."""
        tag: str = self.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]  # PyYAML's
        return tag


_STRING = "tag:yaml.org,2002:str"
#: Booleans of YAML 1.1 and numbers that PyYAML does not read as such, but others do.
_MISREAD = frozenset({"y", "Y", "n", "N"})
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_Dumper.add_representer(str, _Dumper.represent_text)


def to_yaml(obj: Any) -> str:
    text: str = yaml.dump(obj, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, width=1 << 30)
    return text


def to_json(obj: Any) -> str:
    return json.dumps(obj, indent=4, sort_keys=True, ensure_ascii=False) + "\n"


def as_list(objects: Iterable[Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "items": [*objects], "kind": "List", "metadata": {"resourceVersion": ""}}
