"""Which requests a policy and its binding mean.

Source: Kubernetes docs, "Validating Admission Policy", "Policy matching".
"""

from collections.abc import Sequence
from typing import Any

from tiphys.api import meta_v1
from tiphys.apiserver.admission.plugin import Tools
from tiphys.apiserver.webhooks import matching
from tiphys.apiserver.webhooks.matching import Invocation
from tiphys.apiserver.webhooks.subject import Rows, Subject
from tiphys.machinery import selectors


def invocation(resources: Any, subject: Subject, rows: Rows, tools: Tools) -> Invocation | None:
    """In which version the matched request is to be seen; None if it is not meant. Raises StatusError.

    ``resources`` is a MatchResources; without rules (a binding's) all is meant that is not excluded.
    """
    own = _own(subject)
    if resources is None:
        return own
    if not matching.selects_namespace(
        selectors.from_label_selector(_given(resources.namespaceSelector)), subject, tools.objects
    ):
        return None
    if not matching.selects_object(selectors.from_label_selector(_given(resources.objectSelector)), subject):
        return None
    excluded = _named(resources.excludeResourceRules, subject)
    if excluded and matching.invocation(rows, excluded, resources.matchPolicy, subject) is not None:
        return None
    if not resources.resourceRules:
        return own
    return matching.invocation(rows, _named(resources.resourceRules, subject), resources.matchPolicy, subject)


def _given(selector: Any) -> Any:
    """No selector selects all here, as an empty one does."""
    return selector if selector is not None else meta_v1.LabelSelector()


def _own(subject: Subject) -> Invocation:
    attributes = subject.attributes
    kind = matching.request_kind(subject)
    return Invocation(attributes.group, attributes.version, attributes.resource, kind, subject.row)


def _named(rules: Sequence[Any] | None, subject: Subject) -> list[Any]:
    """The rules that may mean an object of this name."""
    name = subject.attributes.name
    return [rule for rule in rules or () if not rule.resourceNames or name in rule.resourceNames]
