import pytest

from tiphys.api import core_v1, meta_v1
from tiphys.machinery import codec, errors, fields, goformat


@pytest.mark.parametrize(
    ("error", "code", "reason", "message"),
    [
        (errors.NotFound("pods", "x"), 404, "NotFound", 'pods "x" not found'),
        (errors.NotFound("deployments", "x", "apps"), 404, "NotFound", 'deployments.apps "x" not found'),
        (errors.UnknownPath(), 404, "NotFound", "the server could not find the requested resource"),
        (errors.AlreadyExists("deployments.apps", "x"), 409, "AlreadyExists", 'deployments.apps "x" already exists'),
        (
            errors.Conflict("pods", "x"),
            409,
            "Conflict",
            'Operation cannot be fulfilled on pods "x": the object has been modified; '
            "please apply your changes to the latest version and try again",
        ),
        (errors.Forbidden("pods", "x", "no"), 403, "Forbidden", 'pods "x" is forbidden: no'),
        (errors.Forbidden("pods", "", "no"), 403, "Forbidden", "pods is forbidden: no"),
        (errors.Forbidden("", "", "no"), 403, "Forbidden", "forbidden: no"),
        (errors.Unauthorized(), 401, "Unauthorized", "Unauthorized"),
        (errors.BadRequest("why"), 400, "BadRequest", "why"),
        (
            errors.MethodNotAllowed("pods", "delete"),
            405,
            "MethodNotAllowed",
            'delete is not supported on resources of kind "pods"',
        ),
        (errors.Gone("x"), 410, "Gone", "x"),
        (errors.Expired("x"), 410, "Expired", "x"),
        (errors.RequestEntityTooLarge("x"), 413, "RequestEntityTooLarge", "Request entity too large: x"),
        (errors.TooManyRequests("x"), 429, "TooManyRequests", "x"),
        (errors.InternalError("x"), 500, "InternalError", "Internal error occurred: x"),
        (
            errors.ServerTimeout("pods", "POST", 2),
            500,
            "ServerTimeout",
            "The POST operation against pods could not be completed at this time, please try again.",
        ),
        (errors.ServiceUnavailable("x"), 503, "ServiceUnavailable", "x"),
        (errors.Timeout("x"), 504, "Timeout", "Timeout: x"),
        (
            errors.Rejected("x"),
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
        ),
    ],
)
def test_sentences_and_the_way_back(error: errors.StatusError, code: int, reason: str, message: str) -> None:
    status = error.status()
    assert (status.code, status.reason, status.message, status.status) == (code, reason, message, "Failure")
    again = errors.from_status(codec.decode(meta_v1.Status, codec.encode(status)))
    assert again.status() == status
    assert again.code == code
    assert isinstance(error, type(again)) or reason in ("NotFound", "Invalid")


def test_details_name_the_object() -> None:
    details = errors.NotFound("deployments.apps", "x").details
    assert details == meta_v1.StatusDetails(name="x", group="apps", kind="deployments")
    assert errors.TooManyRequests(retry_after_seconds=3).retry_after_seconds == 3
    assert errors.BadRequest("x").retry_after_seconds is None


def test_invalid_with_one_fault() -> None:
    error = errors.Invalid("Pod", "", "bad", [fields.required("spec.containers[0].name")])
    assert error.message == 'Pod "bad" is invalid: spec.containers[0].name: Required value'
    assert error.details == meta_v1.StatusDetails(
        name="bad",
        kind="Pod",
        causes=[
            meta_v1.StatusCause(reason="FieldValueRequired", message="Required value", field="spec.containers[0].name")
        ],
    )


def test_invalid_with_several_faults() -> None:
    faults = [fields.required("a"), fields.required("a"), fields.invalid("b", "x", "no")]
    error = errors.Invalid("Deployment", "apps", "bad", faults)
    assert error.message == 'Deployment.apps "bad" is invalid: [a: Required value, b: Invalid value: "x": no]'
    assert error.details is not None
    assert len(error.details.causes or []) == 3
    assert errors.Invalid("Pod", "", "x", []).message == 'Pod "x" is invalid'


def test_reasons_of_other_servers() -> None:
    odd = errors.from_status(meta_v1.Status(code=418, reason="Teapot", message="m"))
    assert (odd.code, odd.reason, odd.message) == (418, "Teapot", "m")
    by_code = errors.from_status(meta_v1.Status(code=404, message="m"))
    assert isinstance(by_code, errors.NotFound)
    causes = [meta_v1.StatusCause(reason="FieldValueRequired", message="Required value", field="a")]
    invalid = errors.from_status(
        meta_v1.Status(code=422, reason="Invalid", details=meta_v1.StatusDetails(causes=causes))
    )
    assert isinstance(invalid, errors.Invalid)
    assert [(e.type, e.path) for e in invalid.field_errors] == [("FieldValueRequired", "a")]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (fields.required("a"), "a: Required value"),
        (fields.required("a", "why"), "a: Required value: why"),
        (fields.invalid("a", "x\n", "why"), 'a: Invalid value: "x\\n": why'),
        (fields.invalid("a", 3, "why"), "a: Invalid value: 3: why"),
        (fields.invalid("a", True, "why"), "a: Invalid value: true: why"),
        (fields.invalid("a", 1.0, "why"), "a: Invalid value: 1: why"),
        (fields.invalid("a", None, "why"), "a: Invalid value: null: why"),
        (fields.invalid("a", {"x": ["y"], "b": 1}, "why"), 'a: Invalid value: {"b":1,"x":["y"]}: why'),
        (
            fields.invalid("a", meta_v1.LabelSelector(matchLabels={"a": "b"}), "field is immutable"),
            'a: Invalid value: {"matchLabels":{"a":"b"}}: field is immutable',
        ),
        (fields.not_supported("a", "x", ["b", "c"]), 'a: Unsupported value: "x": supported values: "b", "c"'),
        (fields.not_supported("a", "x", []), 'a: Unsupported value: "x"'),
        (fields.forbidden("a", "why"), "a: Forbidden: why"),
        (fields.duplicate("a", "x"), 'a: Duplicate value: "x"'),
        (fields.not_found("a", "x"), 'a: Not found: "x"'),
        (fields.too_long("a", "x" * 99, 63), "a: Too long: may not be more than 63 bytes"),
        (fields.too_many("a", 5, 3), "a: Too many: 5: must have at most 3 items"),
        (fields.too_many("a", -1, -1), "a: Too many: has too many items"),
        (fields.type_invalid("a", "x", "why"), 'a: Invalid value: "x": why'),
        (fields.internal("a", "why"), "a: Internal error: why"),
    ],
)
def test_field_errors(error: fields.FieldError, text: str) -> None:
    assert str(error) == text


def test_secrets_show_as_base64() -> None:
    assert goformat.bad_value(core_v1.Secret(data={"a": b"x"}).data) == '{"a":"eA=="}'
