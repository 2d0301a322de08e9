"""Write the typed objects of one Kubernetes minor into ``tiphys/api``.

Run it once per minor, with the development dependencies installed:

    python tools/generate_api.py 1.36

It reads the schemas that the ``kubernetes-validate`` package ships (data
files only) and writes, without their prose:

- one module per group-version (``core_v1.py``, ``apps_v1.py``), Structs only;
- ``kinds.py``: which class serves a group, version and kind;
- ``merge.py``: what patching must know of each field (list type, map keys,
  patch strategy, merge key, atomic maps).
"""

import json
import pathlib
import re
import subprocess
import sys
from collections import defaultdict
from importlib.resources import files
from typing import Any

OUT = pathlib.Path(__file__).resolve().parent.parent / "tiphys" / "api"
SCALARS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "Quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "IntOrString",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "Time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "MicroTime",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "JSONObject",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch": "JSONObject",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "JSONObject",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "JSON",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "JSON",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "JSON",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "JSON",
}
# Two kinds of the same group may live in packages whose last words collide.
MODULES = {
    "io.k8s.apimachinery.pkg.version": "version",
    "io.k8s.api.apiserverinternal.v1alpha1": "internal_v1alpha1",
}
EXPORTED = (
    "JSON", "Int32", "Int64", "IntOrString", "JSONObject", "MicroTime", "Object", "Quantity", "Time", "constant",
    "value",
)  # fmt: skip
FIRST = ["apiVersion", "kind", "metadata", "name", "namespace", "spec", "status", "type"]
KEYWORDS = {"from", "continue", "not", "except", "bool", "int"}
# Objects that Kubernetes always writes, even when empty (values rather than pointers in its own types).
VALUES = {
    "Container.resources",
    "EphemeralContainer.resources",
    "PersistentVolumeClaimSpec.resources",
    "ContainerStatus.state",
    "ContainerStatus.lastState",
    "DeploymentSpec.strategy",
    "DaemonSetSpec.updateStrategy",
    "StatefulSetSpec.updateStrategy",
    "PodTemplateSpec.metadata",
    "PodTemplateSpec.spec",
    "JobTemplateSpec.metadata",
    "JobTemplateSpec.spec",
    "ServiceStatus.loadBalancer",
    "IngressStatus.loadBalancer",
    "NodeStatus.daemonEndpoints",
    "NodeStatus.nodeInfo",
    "Event.source",
    "NodeDaemonEndpoints.kubeletEndpoint",
}
# Read by everything that handles objects: empty rather than absent.
EMPTY_META = {"labels", "annotations", "ownerReferences", "finalizers"}
EMPTY_META_STRINGS = {"name", "generateName", "namespace", "uid", "resourceVersion"}
MERGE_KEYS = {
    "x-kubernetes-list-type": "list_type",
    "x-kubernetes-list-map-keys": "map_keys",
    "x-kubernetes-patch-strategy": "patch_strategy",
    "x-kubernetes-patch-merge-key": "merge_key",
    "x-kubernetes-map-type": "map_type",
}


def load(minor: str) -> dict[str, Any]:
    """The schema of every definition, by its full name."""
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{minor}.0-local"
    definitions: dict[str, Any] = json.loads((folder / "_definitions.json").read_text())["$defs"]
    return definitions


def module_of(name: str) -> str:
    package = name.rpartition(".")[0]
    if package in MODULES:
        return MODULES[package]
    group, version = package.split(".")[-2:]
    return f"{group}_{version}"


def class_of(name: str) -> str:
    return name.rpartition(".")[2]


def base_type(schema: dict[str, Any]) -> str | None:
    kind = schema.get("type")
    return next((k for k in kind if k != "null"), None) if isinstance(kind, list) else kind


def annotation(schema: dict[str, Any], module: str) -> str:
    """The Python type of one schema as written in ``module``."""
    if ref := schema.get("$ref"):
        name = ref.removeprefix("#/$defs/")
        if name in SCALARS:
            return SCALARS[name]
        home = module_of(name)
        return class_of(name) if home == module else f"{home}.{class_of(name)}"
    match base_type(schema), schema.get("format"):
        case "string", "byte":
            return "bytes"
        case "string", _:
            return "str"
        case "integer", "int64":
            return "Int64"
        case "integer", _:
            return "Int32"
        case "number", _:
            return "float"
        case "boolean", _:
            return "bool"
        case "array", _:
            return f"list[{annotation(schema['items'], module)}]"
        case "object", _ if "additionalProperties" in schema:
            return f"dict[str, {annotation(schema['additionalProperties'], module)}]"
        case "object", _:
            return "JSONObject"
    return "JSON"


def attribute(field: str) -> str:
    """A field's name in Python: keywords and type names get an underscore, dashes and ``$`` go."""
    name = re.sub(r"\W", "_", field).lstrip("_")
    return name + "_" if name in KEYWORDS else name


def ordered(properties: dict[str, Any]) -> list[str]:
    known = [name for name in FIRST if name in properties]
    return known + sorted(set(properties) - set(known))


def kinds_of(definition: dict[str, Any]) -> list[dict[str, str]]:
    return list(definition.get("x-kubernetes-group-version-kind", []))


def default_of(
    path: str, field: str, schema: dict[str, Any], kind: str, is_kind: bool, definition: dict[str, Any]
) -> str | None:
    """The default of a field that is never ``None``, or None where absence is ``None``.

    Required fields have the zero value of their type, as in Kubernetes' own
    types, and are always written; what is missing is validation's to say.
    """
    if path.startswith("ObjectMeta."):
        if field in EMPTY_META:
            return "{}" if kind.startswith("dict") else "[]"
        return '""' if field in EMPTY_META_STRINGS else None
    is_struct = "$ref" in schema and kind not in SCALARS.values()
    value = path in VALUES or (is_kind and field in ("metadata", "spec", "status"))
    if is_struct and (value or field in definition.get("required", [])):
        return f"value(lambda: {kind}())"
    if field not in definition.get("required", []):
        return None
    zero = {"str": '""', "Int32": "0", "Int64": "0", "bool": "False", "float": "0.0"}.get(kind)
    if zero is not None:
        return f"constant({zero})"
    if kind.startswith(("list[", "dict[")):
        return "value(lambda: [])" if kind.startswith("list") else "value(lambda: {})"
    return None


def render_class(name: str, definition: dict[str, Any], module: str) -> str:
    lines = [f"class {class_of(name)}(Object):"]
    gvks = kinds_of(definition)
    typed = "apiVersion" in definition.get("properties", {}) and len(gvks) == 1
    for field in ordered(definition.get("properties", {})):
        schema = definition["properties"][field]
        attr = attribute(field)
        if typed and field in ("apiVersion", "kind"):
            group, version, kind = gvks[0]["group"], gvks[0]["version"], gvks[0]["kind"]
            value = kind if field == "kind" else (f"{group}/{version}" if group else version)
            lines.append(f'    {attr}: str = constant("{value}")')
            continue
        kind = annotation(schema, module)
        default = default_of(f"{class_of(name)}.{field}", field, schema, kind, bool(gvks), definition)
        if attr != field:
            lines.append(f'    {attr}: {kind} | None = field(default=None, name="{field}")')
        elif default:
            lines.append(f"    {attr}: {kind} = {default}")
        else:
            lines.append(f"    {attr}: {kind} | None = None")
    return "\n".join(lines if len(lines) > 1 else [*lines, "    pass"])


def render_module(module: str, names: list[str], definitions: dict[str, Any]) -> str:
    classes = [render_class(name, definitions[name], module) for name in sorted(names, key=class_of)]
    body = "\n\n\n".join(classes)
    others = sorted(set(re.findall(r"\b([a-z0-9]+_v\d\w*)\.", body)) - {module})
    used = [s for s in EXPORTED if re.search(rf"\b{s}\b", body)]
    lines = [f'"""Objects of ``{module.replace("_", "/")}``. Generated by tools/generate_api.py; do not edit."""', ""]
    lines += ["from __future__ import annotations", ""]
    if "field(" in body:
        lines += ["from msgspec import field", ""]
    if others:
        lines.append(f"from tiphys.api import {', '.join(others)}")
    lines.append(f"from tiphys.api.scalars import {', '.join(used)}")
    return "\n".join(lines) + "\n\n\n" + body + "\n"


def render_kinds(definitions: dict[str, Any]) -> str:
    rows = []
    for name, definition in definitions.items():
        gvks = kinds_of(definition)
        if len(gvks) == 1 and "apiVersion" in definition.get("properties", {}):
            key = ", ".join(f'"{gvks[0][part]}"' for part in ("group", "version", "kind"))
            rows.append(f'    ({key}): "{module_of(name)}.{class_of(name)}",')
    return (
        '"""Which class serves a group, version and kind. Generated by tools/generate_api.py; do not edit."""\n\n'
        "KINDS: dict[tuple[str, str, str], str] = {\n" + "\n".join(sorted(rows)) + "\n}\n"
    )


def render_merge(definitions: dict[str, Any]) -> str:
    rows = []
    for name, definition in sorted(definitions.items(), key=lambda item: (module_of(item[0]), class_of(item[0]))):
        if name in SCALARS:
            continue
        key = f"{module_of(name)}.{class_of(name)}"
        if map_type := definition.get("x-kubernetes-map-type"):
            rows.append(f'    ("{key}", ""): Merge(map_type="{map_type}"),')
        for field, schema in sorted(definition.get("properties", {}).items()):
            facts = {ours: schema[theirs] for theirs, ours in MERGE_KEYS.items() if theirs in schema}
            if facts:
                arguments = ", ".join(f"{k}={tuple(v) if isinstance(v, list) else v!r}" for k, v in facts.items())
                rows.append(f'    ("{key}", "{field}"): Merge({arguments}),')
    return (
        '"""What patching must know of each field. Generated by tools/generate_api.py; do not edit.\n\n'
        'Keys are (``module.Class``, field); an empty field speaks of the class itself.\n"""\n\n'
        "from tiphys.api.scalars import Merge\n\n"
        "MERGE: dict[tuple[str, str], Merge] = {\n" + "\n".join(rows) + "\n}\n"
    )


def main(minor: str) -> None:
    definitions = load(minor)
    modules: dict[str, list[str]] = defaultdict(list)
    for name in definitions:
        if name not in SCALARS:
            modules[module_of(name)].append(name)
    for module, names in modules.items():
        (OUT / f"{module}.py").write_text(render_module(module, names, definitions))
    (OUT / "kinds.py").write_text(render_kinds(definitions))
    (OUT / "merge.py").write_text(render_merge(definitions))
    for command in (("check", "--fix", "--select", "I"), ("format",)):
        subprocess.run([sys.executable, "-m", "ruff", *command, "-q", str(OUT)], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
