"""Secret: values by key, and what the known types demand of them."""

import msgspec

from tiphys.api import core_v1
from tiphys.machinery import fields
from tiphys.machinery.fields import FieldError
from tiphys.resources import checks
from tiphys.resources.checks import Errors
from tiphys.resources.columns import AGE, NAME
from tiphys.resources.rules import Column, Resource, Strategy

MAX_BYTES = 1024 * 1024
IMMUTABLE = "field is immutable when `immutable` is set"
OPAQUE = "Opaque"
SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"
SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"
#: Keys that a Secret of the type must have.
REQUIRED_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
DOCKER_TYPES = ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson")
BASIC_AUTH = "kubernetes.io/basic-auth"


def default(secret: core_v1.Secret) -> None:
    """``stringData`` is for writing only: it becomes data."""
    secret.type = secret.type or OPAQUE
    if secret.stringData is not None:
        if secret.stringData:
            written = {key: value.encode() for key, value in secret.stringData.items()}
            secret.data = {**(secret.data or {}), **written}
        secret.stringData = None


def validate(secret: core_v1.Secret) -> Errors:
    errs: Errors = []
    data = secret.data or {}
    for key in data:
        checks.form(errs, f"data[{key}]", key, checks.config_map_key)
    if sum(map(len, data.values())) > MAX_BYTES:
        errs.append(fields.too_long("data", "", MAX_BYTES))
    _type(errs, secret, data)
    return errs


def _type(errs: Errors, secret: core_v1.Secret, data: dict[str, bytes]) -> None:
    kind = secret.type or ""
    if kind == SERVICE_ACCOUNT_TOKEN and not secret.metadata.annotations.get(SERVICE_ACCOUNT_NAME):
        errs.append(fields.required(f"metadata.annotations[{SERVICE_ACCOUNT_NAME}]"))
    if kind == BASIC_AUTH and not ("username" in data or "password" in data):
        errs.append(fields.required("data[username]"))
        errs.append(fields.required("data[password]"))
    for key in REQUIRED_KEYS.get(kind, ()):
        if key not in data:
            errs.append(fields.required(f"data[{key}]"))
        elif kind in DOCKER_TYPES:
            _json(errs, f"data[{key}]", data[key])


def _json(errs: Errors, path: str, content: bytes) -> None:
    try:
        msgspec.json.decode(content, type=dict)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        errs.append(fields.invalid(path, "<secret contents redacted>", str(error)))


class SecretStrategy(Strategy[core_v1.Secret]):
    """The main endpoint."""

    def default(self, obj: core_v1.Secret) -> None:
        default(obj)

    def validate_create(self, obj: core_v1.Secret) -> list[FieldError]:
        return validate(obj)

    def validate_update(self, obj: core_v1.Secret, old: core_v1.Secret) -> list[FieldError]:
        errs: Errors = []
        checks.immutable(errs, "type", obj.type, old.type)
        if old.immutable:
            if not obj.immutable:
                errs.append(fields.forbidden("immutable", IMMUTABLE))
            if (obj.data or {}) != (old.data or {}):
                errs.append(fields.forbidden("data", IMMUTABLE))
        return [*errs, *validate(obj)]


ROW = Resource(
    group="",
    version="v1",
    kind="Secret",
    plural="secrets",
    cls=core_v1.Secret,
    strategy=SecretStrategy(),
    columns=(
        NAME,
        Column("Type", lambda secret, now: secret.type or "", description="What its keys mean."),
        Column("Data", lambda secret, now: len(secret.data or {}), type="integer", description="How many keys it has."),
        AGE,
    ),
    fields={"type": lambda secret: secret.type or ""},
)
