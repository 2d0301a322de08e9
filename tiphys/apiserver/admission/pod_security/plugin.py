"""The plugin: what is asked about which request, and what is said."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Self

from tiphys.apiserver.admission.plugin import Plugin, Tools, forbidden, resource_of
from tiphys.apiserver.admission.pod_security.checks import evaluate
from tiphys.apiserver.admission.pod_security.findings import Finding, Subject
from tiphys.apiserver.admission.pod_security.policy import (
    PREFIX,
    PRIVILEGED,
    LevelVersion,
    Policy,
    policy_of,
    version_of,
)
from tiphys.apiserver.seams import Attributes, Objects
from tiphys.machinery import errors
from tiphys.machinery.goformat import quote

#: Existing Pods that are looked at when a Namespace's level is raised.
PODS_MAX: Final = 3000
GROUP: Final = "pod-security.admission.config.k8s.io"
EXEMPTIONS: Final = ("usernames", "namespaces", "runtimeClasses")
SECCOMP_POD: Final = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_PREFIX: Final = "container.seccomp.security.alpha.kubernetes.io/"

Template = Callable[[Any], Any]

#: Where the Pod template of a workload is.
TEMPLATES: Final[Mapping[str, Template]] = {
    "replicationcontrollers": lambda obj: obj.spec.template,
    "podtemplates": lambda obj: obj.template,
    "replicasets.apps": lambda obj: obj.spec.template,
    "deployments.apps": lambda obj: obj.spec.template,
    "statefulsets.apps": lambda obj: obj.spec.template,
    "daemonsets.apps": lambda obj: obj.spec.template,
    "jobs.batch": lambda obj: obj.spec.template,
    "cronjobs.batch": lambda obj: obj.spec.jobTemplate.spec.template,
}


class PodSecurity(Plugin):
    """Its configuration is a PodSecurityConfiguration: defaults, and who and what is exempt."""

    name: ClassVar = "PodSecurity"
    resources: ClassVar = ("pods", "pods/ephemeralcontainers", "pods/resize", "namespaces", *TEMPLATES)

    @classmethod
    def made(cls, tools: Tools) -> Self:
        found = tools.configuration.get(cls.name) or {}
        exemptions = found.get("exemptions") or {}
        return cls(
            tools.objects,
            defaults_of(found.get("defaults") or {}),
            {name: frozenset(exemptions.get(name) or ()) for name in EXEMPTIONS},
        )

    def __init__(self, objects: Objects, defaults: Policy, exempt: Mapping[str, frozenset[str]]) -> None:
        self._objects = objects
        self._defaults = defaults
        self._exempt = exempt

    def validate(self, attributes: Attributes, obj: Any, old: Any) -> None:
        if attributes.resource == "namespaces":
            self._namespace(attributes, obj, old)
            return
        if self._is_exempt(attributes):
            return
        namespace = self._objects.find("", "namespaces", "", attributes.namespace)
        if namespace is None:
            raise errors.InternalError(f"failed to lookup namespace {quote(attributes.namespace)}")
        policy, problems = policy_of(namespace.metadata.labels, self._defaults)
        if policy.allows_all and not problems:
            return
        if problems:
            texts = errors.aggregate([str(problem) for problem in problems])
            attributes.audit_annotations[f"{PREFIX}error"] = f"Failed to parse policy: {texts}"
        if attributes.resource == "pods":
            if old is None or is_significant(obj, old):
                self._evaluate(attributes, obj, Subject(obj.metadata, obj.spec), policy, enforce=True)
            return
        template = TEMPLATES[resource_of(attributes)](obj)
        if template is not None:
            self._evaluate(attributes, obj, Subject(template.metadata, template.spec), policy, enforce=False)

    def _is_exempt(self, attributes: Attributes) -> bool:
        for what, name, value in (
            ("namespace", "namespaces", attributes.namespace),
            ("user", "usernames", attributes.user.name),
        ):
            if value in self._exempt[name]:
                attributes.audit_annotations[f"{PREFIX}exempt"] = what
                return True
        return False

    def _evaluate(self, attributes: Attributes, obj: Any, subject: Subject, policy: Policy, *, enforce: bool) -> None:
        """Raises Forbidden, or warns."""
        annotations = attributes.audit_annotations
        if (subject.spec.runtimeClassName or "") in self._exempt["runtimeClasses"]:
            annotations[f"{PREFIX}exempt"] = "runtimeClass"
            return
        if enforce:
            annotations[f"{PREFIX}enforce-policy"] = str(policy.enforce)
        found = evaluate(policy.audit, subject)
        if found:
            annotations[f"{PREFIX}audit-violations"] = f"would {_violates(policy.audit, found)}"
        found = evaluate(policy.enforce, subject) if enforce else []
        if found:
            raise forbidden(attributes, obj, f"violates{_violates(policy.enforce, found).removeprefix('violate')}")
        found = evaluate(policy.warn, subject)
        if found:
            attributes.warnings.append(f"would {_violates(policy.warn, found)}")

    def _namespace(self, attributes: Attributes, obj: Any, old: Any) -> None:
        new, problems = policy_of(obj.metadata.labels, self._defaults)
        if old is None:
            if problems:
                raise errors.Invalid("Namespace", "", obj.metadata.name, problems)
            return
        before, earlier = policy_of(old.metadata.labels, self._defaults)
        if problems and problems != earlier:
            raise errors.Invalid("Namespace", "", obj.metadata.name, problems)
        if new.enforce == before.enforce or new.enforce.level == PRIVILEGED:
            return
        if new.enforce.version == before.enforce.version and not new.enforce.is_stricter_than(before.enforce):
            return
        if obj.metadata.name not in self._exempt["namespaces"]:
            attributes.warnings += self._existing(obj.metadata.name, new.enforce)

    def _existing(self, namespace: str, policy: LevelVersion) -> list[str]:
        """What to say about Pods that are there and would be refused now."""
        pods = self._objects.all("", "pods", namespace)
        found: dict[str, list[str]] = {}
        for pod in pods[:PODS_MAX]:
            if (pod.spec.runtimeClassName or "") in self._exempt["runtimeClasses"]:
                continue
            findings = evaluate(policy, Subject(pod.metadata, pod.spec))
            if findings:
                found.setdefault(", ".join(one.reason for one in findings), []).append(pod.metadata.name)
        warnings: list[str] = []
        if len(pods) > PODS_MAX:
            warnings.append(
                f"new PodSecurity enforce level only checked against the first {PODS_MAX} of {len(pods)} existing pods"
            )
        if found:
            warnings.append(
                f"existing pods in namespace {quote(namespace)} violate the new PodSecurity enforce level "
                f"{quote(str(policy))}"
            )
        return warnings + sorted(f"{_several(names)}: {reasons}" for reasons, names in found.items())


def _several(names: list[str]) -> str:
    others = len(names) - 1
    if not others:
        return names[0]
    return f"{min(names)} (and {others} other {'pod' if others == 1 else 'pods'})"


def _violates(policy: LevelVersion, findings: list[Finding]) -> str:
    return f"violate PodSecurity {quote(str(policy))}: {', '.join(str(one) for one in findings)}"


def is_significant(new: Any, old: Any) -> bool:
    """Whether an update of a Pod changes anything that checks look at."""
    after, before = new.metadata.annotations, old.metadata.annotations
    if after.get(SECCOMP_POD) != before.get(SECCOMP_POD):
        return True
    for field in ("containers", "initContainers"):
        listed, earlier = getattr(new.spec, field) or (), getattr(old.spec, field) or ()
        if len(listed) != len(earlier):
            return True
        if any(_differs(one, two, after, before) for one, two in zip(listed, earlier, strict=True)):
            return True
    known = {one.name: one for one in old.spec.ephemeralContainers or ()}
    return any(
        one.name not in known or _differs(one, known[one.name], after, before)
        for one in new.spec.ephemeralContainers or ()
    )


def _differs(new: Any, old: Any, after: Mapping[str, str], before: Mapping[str, str]) -> bool:
    key = SECCOMP_PREFIX + new.name
    return bool(new.image != old.image) or after.get(key) != before.get(key)


def defaults_of(given: Mapping[str, str]) -> Policy:
    """The policy of Namespaces without labels. Raises ValueError."""
    labels = {PREFIX + name: value for name, value in given.items()}
    for name, value in given.items():
        if name.endswith("-version") and version_of(value) is None:
            raise ValueError(f'defaults.{name}: Invalid value: {quote(value)}: must be "latest" or "v1.x"')
    policy, problems = policy_of(labels, Policy())
    if problems:
        raise ValueError(errors.aggregate([str(problem) for problem in problems]))
    return policy
