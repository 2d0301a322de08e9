"""In which order groups and their versions are listed, and so which one a client prefers.

Source: Kubernetes docs, "APIService" reference (``groupPriorityMinimum``,
``versionPriority``) and "Versions in CustomResourceDefinitions", "Version priority".
"""

import re
from typing import Final, NamedTuple


class Priority(NamedTuple):
    """Higher comes first; the group's counts before the version's."""

    group: int
    version: int


#: Of custom resources, and of a built-in version that the table does not name.
CUSTOM: Final = Priority(1000, 100)

#: As the APIServices of Kubernetes 1.36 say.
BUILT_IN: Final[dict[tuple[str, str], Priority]] = {
    ("", "v1"): Priority(18000, 1),
    ("apps", "v1"): Priority(17800, 15),
    ("events.k8s.io", "v1"): Priority(17750, 15),
    ("authentication.k8s.io", "v1"): Priority(17700, 15),
    ("authorization.k8s.io", "v1"): Priority(17600, 15),
    ("autoscaling", "v2"): Priority(17500, 30),
    ("autoscaling", "v1"): Priority(17500, 15),
    ("batch", "v1"): Priority(17400, 15),
    ("certificates.k8s.io", "v1"): Priority(17300, 15),
    ("certificates.k8s.io", "v1beta1"): Priority(17300, 9),
    ("certificates.k8s.io", "v1alpha1"): Priority(17300, 1),
    ("networking.k8s.io", "v1"): Priority(17200, 15),
    ("networking.k8s.io", "v1beta1"): Priority(17200, 9),
    ("policy", "v1"): Priority(17100, 15),
    ("rbac.authorization.k8s.io", "v1"): Priority(17000, 15),
    ("storage.k8s.io", "v1"): Priority(16800, 15),
    ("storage.k8s.io", "v1beta1"): Priority(16800, 9),
    ("storage.k8s.io", "v1alpha1"): Priority(16800, 1),
    ("apiextensions.k8s.io", "v1"): Priority(16700, 15),
    ("admissionregistration.k8s.io", "v1"): Priority(16700, 15),
    ("admissionregistration.k8s.io", "v1beta1"): Priority(16700, 12),
    ("admissionregistration.k8s.io", "v1alpha1"): Priority(16700, 9),
    ("scheduling.k8s.io", "v1"): Priority(16600, 15),
    ("coordination.k8s.io", "v1"): Priority(16500, 15),
    ("node.k8s.io", "v1"): Priority(16300, 15),
    ("resource.k8s.io", "v1"): Priority(16200, 20),
    ("resource.k8s.io", "v1beta2"): Priority(16200, 15),
    ("resource.k8s.io", "v1beta1"): Priority(16200, 9),
    ("discovery.k8s.io", "v1"): Priority(16200, 15),
    ("flowcontrol.apiserver.k8s.io", "v1"): Priority(16100, 21),
    ("internal.apiserver.k8s.io", "v1alpha1"): Priority(16000, 9),
    ("storagemigration.k8s.io", "v1beta1"): Priority(15800, 15),
    # The aggregation layer itself is no APIService and always listed first after the core group.
    ("apiregistration.k8s.io", "v1"): Priority(17999, 18),
}

_FORM: Final = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")
_STAGES: Final = {None: 2, "beta": 1, "alpha": 0}


def version_key(version: str) -> tuple[int, int, int, int, str]:
    """Sorts versions from the most to the least preferred: v10, v2, v1, v11beta2, v1alpha1, and other names
    behind, by the alphabet."""
    found = _FORM.fullmatch(version)
    if found is None:
        return (1, 0, 0, 0, version)
    major, stage, minor = found.groups()
    return (0, -_STAGES[stage], -int(major), -int(minor or 0), "")
