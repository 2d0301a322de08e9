"""Validation of CustomResourceDefinitions: names, versions, conversion, and what hangs below a version.

Schemas have modules of their own: ``schemas`` (what OpenAPI allows here),
``structural`` (what makes a schema structural), ``rules`` (expressions).
Source: Kubernetes docs, "Extend the Kubernetes API with CustomResourceDefinitions";
apiextensions validation, by behaviour and messages.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from tiphys.api import apiextensions_v1
from tiphys.machinery import codec, conditions, fields, names
from tiphys.machinery.fields import FieldError
from tiphys.machinery.goformat import quote
from tiphys.resources.apiextensions import conversion, printer, rules, schemas, structural, subresources

Crd = apiextensions_v1.CustomResourceDefinition
Version = apiextensions_v1.CustomResourceDefinitionVersion
Errors = list[FieldError]

SCOPES: Final = ("Cluster", "Namespaced")
DEPRECATION_MAX: Final = 256
APPROVED: Final = "api-approved.kubernetes.io"
APPROVAL_LINK: Final = "https://github.com/kubernetes/enhancements/pull/1111"


def validate(crd: Crd) -> Errors:
    """All that is wrong with a new definition."""
    errs: Errors = []
    if crd.metadata.name != f"{crd.spec.names.plural}.{crd.spec.group}":
        errs.append(fields.invalid("metadata.name", crd.metadata.name, 'must be spec.names.plural+"."+spec.group'))
    errs += _spec(crd)
    errs += _approval(crd)
    return errs


def validate_update(crd: Crd, old: Crd) -> Errors:
    """All that is wrong with a changed definition; faults of its schemas that were there before stay allowed."""
    before = {str(problem) for problem in _spec(old)}
    errs = [problem for problem in _spec(crd) if str(problem) not in before]
    spec, previous = crd.spec, old.spec
    fixed: list[tuple[str, Any, Any]] = []
    if conditions.is_true(old.status.conditions, "Established"):
        fixed += [("spec.scope", spec.scope, previous.scope), ("spec.names.kind", spec.names.kind, previous.names.kind)]
    fixed += [
        ("spec.group", spec.group, previous.group),
        ("spec.names.plural", spec.names.plural, previous.names.plural),
    ]
    errs += [fields.invalid(path, new, "field is immutable") for path, new, was in fixed if new != was]
    if old.metadata.annotations.get(APPROVED) != crd.metadata.annotations.get(APPROVED):
        errs += _approval(crd)
    return errs + validate_status(crd)


def validate_status(crd: Crd) -> Errors:
    """What is wrong with the versions that objects may be stored in."""
    path = "status.storedVersions"
    stored = crd.status.storedVersions or []
    if not stored:
        return [fields.invalid(path, stored, "must have at least one stored version")]
    known = {version.name for version in crd.spec.versions}
    return [
        fields.invalid(
            f"{path}[{index}]",
            name,
            "missing from spec.versions; "
            f"{name} was previously a storage version, and must remain in spec.versions until a storage "
            "migration ensures no data remains persisted in "
            f"{name} and removes {name} from status.storedVersions",
        )
        for index, name in enumerate(stored)
        if name not in known
    ]


def warnings(crd: Crd, old: Crd | None) -> list[str]:
    """Formats that nothing checks."""
    found: list[str] = []
    for index, version in enumerate(crd.spec.versions):
        if version.schema and version.schema.openAPIV3Schema:
            props = codec.to_builtins(version.schema.openAPIV3Schema)
            found += schemas.unknown_formats(props, f"spec.versions[{index}].schema.openAPIV3Schema")
    return found


def _spec(crd: Crd) -> Errors:
    spec = crd.spec
    errs = _group(spec.group)
    if not spec.scope:
        errs.append(fields.required("spec.scope"))
    elif spec.scope not in SCOPES:
        errs.append(fields.not_supported("spec.scope", spec.scope, SCOPES))
    if spec.preserveUnknownFields:
        detail = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        errs.append(fields.invalid("spec.preserveUnknownFields", True, detail))
    errs += _versions(spec.versions)
    errs += [
        fields.required(f"spec.names.{field}")
        for field in ("plural", "singular", "kind", "listKind")
        if not getattr(spec.names, field)
    ]
    errs += _names(spec.names, "spec.names")
    errs += conversion.validate(spec.conversion, "spec.conversion")
    return errs


def _group(group: str) -> Errors:
    path = "spec.group"
    if not group:
        return [fields.required(path)]
    if problems := names.dns1123_subdomain(group):
        return [fields.invalid(path, group, ",".join(problems))]
    if "." not in group:
        return [fields.invalid(path, group, "should be a domain with at least one dot")]
    return []


def _versions(versions: Sequence[Version]) -> Errors:
    errs: Errors = []
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        if problems := names.dns1035_label(version.name):
            errs.append(fields.invalid(f"{path}.name", version.name, ",".join(problems)))
        errs += _deprecation(version, path)
        if version.schema is None or version.schema.openAPIV3Schema is None:
            errs.append(fields.required(f"{path}.schema.openAPIV3Schema", "schemas are required"))
    listed = [version.name for version in versions]
    if len(set(listed)) < len(listed):
        errs.append(fields.invalid("spec.versions", list(versions), "must contain unique version names"))
    if sum(version.storage for version in versions) != 1:
        detail = "must have exactly one version marked as storage version"
        errs.append(fields.invalid("spec.versions", list(versions), detail))
    for part, top, check in _PARTS:
        errs += _each(versions, part, top, check)
    return errs


def _each(versions: Sequence[Version], part: str, top: str, check: Callable[[Any, str, Version], Errors]) -> Errors:
    """Check a part of every version. What all versions share is one thing, spoken of at the top."""
    values = [getattr(version, part) for version in versions]
    if values and values[0] is not None and all(value == values[0] for value in values):
        return check(values[0], top, versions[0])
    errs: Errors = []
    for index, (value, version) in enumerate(zip(values, versions, strict=True)):
        if value is not None:
            errs += check(value, f"spec.versions[{index}].{part}", version)
    return errs


def _schema(validation: apiextensions_v1.CustomResourceValidation, path: str, version: Version) -> Errors:
    if validation.openAPIV3Schema is None:
        return []
    path = f"{path}.openAPIV3Schema"
    props: dict[str, Any] = codec.to_builtins(validation.openAPIV3Schema)
    errs = schemas.validate(props, path)
    if not errs:
        errs = structural.validate(props, path)
    return errs or schemas.validate_defaults(props, path) or rules.validate(props, path)


def _subresources(value: apiextensions_v1.CustomResourceSubresources, path: str, version: Version) -> Errors:
    return subresources.validate(value, path)


def _columns(value: list[apiextensions_v1.CustomResourceColumnDefinition], path: str, version: Version) -> Errors:
    return [problem for index, column in enumerate(value) for problem in printer.column(column, f"{path}[{index}]")]


def _selectable(value: list[apiextensions_v1.SelectableField], path: str, version: Version) -> Errors:
    held = version.schema and version.schema.openAPIV3Schema
    return printer.selectable(value, path, codec.to_builtins(held) if held else {})


_PARTS: Final = (
    ("schema", "spec.validation", _schema),
    ("subresources", "spec.subresources", _subresources),
    ("additionalPrinterColumns", "spec.additionalPrinterColumns", _columns),
    ("selectableFields", "spec.selectableFields", _selectable),
)


def _deprecation(version: Version, path: str) -> Errors:
    text = version.deprecationWarning
    if text is None:
        return []
    path = f"{path}.deprecationWarning"
    if not version.deprecated:
        return [fields.invalid(path, text, "can only be set for deprecated versions")]
    if not text:
        return [fields.invalid(path, text, "must not be an empty string")]
    if len(text) > DEPRECATION_MAX:
        return [fields.invalid(path, text, f"must be <= {DEPRECATION_MAX} characters long")]
    at = next((index for index, letter in enumerate(text) if not letter.isprintable()), None)
    if at is None:
        return []
    detail = f"must only contain printable UTF-8 characters; non-printable character found at index {at}"
    return [fields.invalid(path, text, detail)]


def _names(given: apiextensions_v1.CustomResourceDefinitionNames, path: str) -> Errors:
    errs: Errors = []
    for field in ("plural", "singular"):
        value = getattr(given, field)
        if value and (problems := names.dns1035_label(value)):
            errs.append(fields.invalid(f"{path}.{field}", value, ",".join(problems)))
    for field in ("kind", "listKind"):
        value = getattr(given, field)
        if value and (problems := names.dns1035_label(value.lower())):
            detail = f"may have mixed case, but should otherwise match: {','.join(problems)}"
            errs.append(fields.invalid(f"{path}.{field}", value, detail))
    for field in ("shortNames", "categories"):
        for index, value in enumerate(getattr(given, field) or ()):
            if problems := names.dns1035_label(value):
                errs.append(fields.invalid(f"{path}.{field}[{index}]", value, ",".join(problems)))
    if given.kind and given.kind == given.listKind:
        errs.append(fields.invalid(f"{path}.listKind", given.listKind, "kind and listKind may not be the same"))
    return errs


def _approval(crd: Crd) -> Errors:
    """Groups of Kubernetes itself are not for everybody. Source: KEP-1111."""
    group = crd.spec.group
    if not (group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))):
        return []
    path = f"metadata.annotations[{APPROVED}]"
    text = crd.metadata.annotations.get(APPROVED, "")
    if not text:
        return [
            fields.required(
                path, f"protected groups must have approval annotation {quote(APPROVED)}, see {APPROVAL_LINK}"
            )
        ]
    if text.startswith(("unapproved", "http://", "https://")):
        return []
    detail = (
        f"protected groups must have approval annotation {quote(APPROVED)} with either a URL or a reason starting "
        f'with "unapproved", see {APPROVAL_LINK}'
    )
    return [fields.invalid(path, text, detail)]
