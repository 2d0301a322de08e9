"""What plugins are told: ``--admission-control-config-file``.

Source: Kubernetes docs, "API server config (v1)", AdmissionConfiguration.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tiphys.apiserver.admission.table import PluginError

KIND: Final = "AdmissionConfiguration"
VERSIONS: Final = ("apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1")


def read(path: str) -> Mapping[str, Any]:
    """The configuration of each plugin, by its name; nothing without a file.

    A plugin's part stands in the file itself or in one that it names, relative to the file. Raises PluginError.
    """
    if not path:
        return {}
    file = Path(path)
    found = _document(file)
    if not isinstance(found, dict) or found.get("kind") != KIND or found.get("apiVersion") not in VERSIONS:
        raise PluginError(f"{file}: {KIND} of {VERSIONS[0]} is expected")
    return {part["name"]: _part(file, part) for part in found.get("plugins") or () if part.get("name")}


def _part(file: Path, part: Mapping[str, Any]) -> Any:
    if part.get("path"):
        return _document(file.parent / part["path"])
    return part.get("configuration")


def _document(file: Path) -> Any:
    try:
        return yaml.load(file.read_bytes(), yaml.CSafeLoader)
    except OSError as problem:
        why = f'failed to read admission control configuration from "{file}" [{problem}]'
        raise PluginError(why) from problem
    except yaml.YAMLError as problem:
        raise PluginError(f"{file} is not YAML: {problem}") from problem
