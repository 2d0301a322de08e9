"""Rules of certificate requests: what was decided stays decided."""

from typing import Any

from tests.resources.judging import changed, made
from tiphys.api import certificates_v1

PEM = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0="


def condition(kind: str, status: str = "True", reason: str = "r") -> certificates_v1.CertificateSigningRequestCondition:
    return certificates_v1.CertificateSigningRequestCondition(type=kind, status=status, reason=reason)


def approval(old: Any, *conditions: certificates_v1.CertificateSigningRequestCondition) -> list[str]:
    return changed("csr", old, lambda new: setattr(new.status, "conditions", list(conditions)), "approval")[1]


def test_approval_and_denial() -> None:
    old = made("csr", {"spec": {"request": PEM, "signerName": "example.com/s", "usages": ["client auth"]}})
    assert approval(old, condition("Approved")) == []
    assert approval(old, condition("Approved"), condition("Denied")) == [
        'status.conditions[1].type: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive'
    ]
    assert approval(old, condition("Approved", "False")) == [
        'status.conditions[0].status: Unsupported value: "False": supported values: "True"'
    ]
    old.status.conditions = [condition("Approved")]
    assert approval(old) == ['status.conditions: Forbidden: updates may not remove a condition of type "Approved"']
    assert approval(old, condition("Approved", reason="other")) == [
        'status.conditions: Forbidden: updates may not modify a condition of type "Approved"'
    ]
