"""KubeSchedulerConfiguration: profiles, their plugins and weights, and the plugins' arguments.

    apiVersion: kubescheduler.config.k8s.io/v1
    kind: KubeSchedulerConfiguration
    profiles:
    - schedulerName: packing
      plugins:
        score: {disabled: [{name: ImageLocality}], enabled: [{name: "mine.scoring:by_rack", weight: 3}]}
      pluginConfig:
      - {name: NodeResourcesFit, args: {scoringStrategy: {type: MostAllocated}}}

A name with a colon is a function of one's own: ``functions.py``.
Source: Kubernetes docs, "Scheduler Configuration"; "kube-scheduler Configuration (v1)".
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tiphys.machinery.times import parse_duration
from tiphys.scheduler.config import Config
from tiphys.scheduler.extenders import TIMEOUT_SECONDS, ExtenderConfig
from tiphys.scheduler.functions import HOOK_POINTS, FunctionHook, FunctionPlugin, imported
from tiphys.scheduler.plugins.dynamic_resources import Devices, DynamicResources
from tiphys.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from tiphys.scheduler.plugins.interface import Plugin
from tiphys.scheduler.plugins.node_resources import (
    CPU_AND_MEMORY,
    Ignored,
    NodeResourcesBalancedAllocation,
    NodeResourcesFit,
    Strategy,
    least_allocated,
    most_allocated,
    requested_to_capacity_ratio,
)
from tiphys.scheduler.plugins.pod_topology_spread import SYSTEM_DEFAULTS, Default, Groups, PodTopologySpread
from tiphys.scheduler.plugins.registry import BUILT_IN, OVER_VOLUMES, PLUGINS
from tiphys.scheduler.plugins.volume_binding import Volumes
from tiphys.scheduler.profiles import MakeHooks, Profile

API_VERSION = "kubescheduler.config.k8s.io/v1"
KIND = "KubeSchedulerConfiguration"
_BEFORE = ("queueSort", "preEnqueue", "preFilter", "filter", "postFilter", "preScore", "score", "reserve", "permit")
_AFTER = ("preBind", "bind", "postBind", "placementGenerate", "placementScore", "multiPoint")
#: All that may be said; what has no meaning here (how the scheduler connects, elects, is profiled) is passed over.
FIELDS = frozenset(
    {
        *("apiVersion", "kind", "profiles", "extenders", "podInitialBackoffSeconds", "podMaxBackoffSeconds"),
        *("parallelism", "percentageOfNodesToScore", "clientConnection", "leaderElection", "delayCacheUntilActive"),
        *("enableProfiling", "enableContentionProfiling"),
    }
)
PROFILE_FIELDS = frozenset({"schedulerName", "percentageOfNodesToScore", "plugins", "pluginConfig"})
_POINTS = frozenset(_BEFORE + _AFTER)
Object = Mapping[str, Any]


class Known(NamedTuple):
    """What plugins are made over."""

    groups: Groups | None
    volumes: Volumes | None
    devices: Devices | None
    ignored: frozenset[str]


class ConfigurationError(ValueError):
    """The configuration cannot be used; the text begins with the path of what is wrong."""


def configured(document: Object) -> Config:
    """The configuration that a parsed YAML document describes. Raises ConfigurationError."""
    try:
        return _configured(document)
    except ConfigurationError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # A list where an object belongs, a word where a number does: the field is in the text of the error.
        raise ConfigurationError(f"not a {KIND}: {error}") from error


def _configured(document: Object) -> Config:
    if (document.get("apiVersion"), document.get("kind")) != (API_VERSION, KIND):
        raise ConfigurationError(f"apiVersion, kind: Unsupported value: must be {API_VERSION}, {KIND}")
    _strict("", document, FIELDS)
    profiles = document.get("profiles") or [{}]
    made = tuple(
        _profile(f"profiles[{number}]", profile, _ignored_by_scheduler(document))
        for number, profile in enumerate(profiles)
    )
    names = [profile.name for profile in made]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ConfigurationError(f'profiles[{number}].schedulerName: Duplicate value: "{name}"')
    initial, longest = (
        _positive(document, "podInitialBackoffSeconds", 1),
        _positive(document, "podMaxBackoffSeconds", 10),
    )
    if longest < initial:
        raise ConfigurationError(
            f"podMaxBackoffSeconds: Invalid value: {longest}: must be greater than or equal to PodInitialBackoffSeconds"
        )
    extenders = tuple(_extender(f"extenders[{i}]", each) for i, each in enumerate(document.get("extenders") or ()))
    if sum(bool(extender.bind_verb) for extender in extenders) > 1:
        raise ConfigurationError(
            f"extenders: Invalid value: found {len(extenders)} extenders implementing bind: only one is allowed"
        )
    return Config(
        profiles=made, extenders=extenders, backoff_seconds_min=float(initial), backoff_seconds_max=float(longest)
    )


def _strict(path: str, found: Object, known: frozenset[str]) -> None:
    for name in found:
        if name not in known:
            raise ConfigurationError(f'strict decoding error: unknown field "{path}{name}"')


def _extender(path: str, found: Object) -> ExtenderConfig:
    if not found.get("urlPrefix"):
        raise ConfigurationError(f"{path}.urlPrefix: Required value")
    weight = int(found.get("weight") or 0)
    if found.get("prioritizeVerb") and weight <= 0:
        raise ConfigurationError(f"{path}.weight: Invalid value: {weight}: must have a positive weight applied to it")
    resources = found.get("managedResources") or ()
    return ExtenderConfig(
        url=found["urlPrefix"],
        filter_verb=found.get("filterVerb") or "",
        prioritize_verb=found.get("prioritizeVerb") or "",
        preempt_verb=found.get("preemptVerb") or "",
        bind_verb=found.get("bindVerb") or "",
        weight=weight,
        https=bool(found.get("enableHTTPS")),
        tls=found.get("tlsConfig") or {},
        timeout_seconds=parse_duration(found.get("httpTimeout") or "0s") or TIMEOUT_SECONDS,
        knows_nodes=bool(found.get("nodeCacheCapable")),
        resources=frozenset(resource["name"] for resource in resources),
        ignorable=bool(found.get("ignorable")),
    )


def _ignored_by_scheduler(document: Object) -> frozenset[str]:
    """Resources that an extender alone judges."""
    return frozenset(
        resource["name"]
        for extender in document.get("extenders") or ()
        for resource in extender.get("managedResources") or ()
        if resource.get("ignoredByScheduler")
    )


def _positive(document: Object, name: str, default: int) -> int:
    found = document.get(name, default)
    if not isinstance(found, int) or found <= 0:
        raise ConfigurationError(f"{name}: Invalid value: {found}: must be greater than 0")
    return found


def _profile(path: str, profile: Object, ignored: frozenset[str]) -> Profile:
    _strict(f"{path}.", profile, PROFILE_FIELDS)
    plugins = profile.get("plugins") or {}
    arguments = _arguments(path, profile.get("pluginConfig") or [])
    for point in plugins:
        if point not in _POINTS:
            raise ConfigurationError(f"{path}.plugins.{point}: Unknown extension point")

    def make(groups: Groups | None, volumes: Volumes | None, devices: Devices | None = None) -> Sequence[Plugin]:
        return _plugins(f"{path}.plugins", plugins, arguments, Known(groups, volumes, devices, ignored))

    # Once now, so that mistakes are told when the file is read.
    make(None, None)
    preempts = all(
        _switch(plugins.get(point) or {}, "DefaultPreemption", True) for point in ("multiPoint", "postFilter")
    )
    return Profile(profile.get("schedulerName") or "default-scheduler", make, preempts, _hooks(plugins))


def _hooks(points: Object) -> MakeHooks:
    """Functions of one's own that have a say after the decision, by the name they are given under."""
    functions: dict[str, dict[str, Any]] = {}
    for point in HOOK_POINTS:
        for entry in (points.get(point) or {}).get("enabled") or ():
            if ":" in (name := entry.get("name", "")):
                functions.setdefault(name, {})[point] = imported(name)
    return lambda waiting: [FunctionHook(name, given, waiting) for name, given in functions.items()]


def _arguments(path: str, configs: Sequence[Object]) -> dict[str, Object]:
    found: dict[str, Object] = {}
    for number, config in enumerate(configs):
        name = config.get("name", "")
        if name in found:
            raise ConfigurationError(f'{path}.pluginConfig[{number}]: Duplicate value: "{name}"')
        found[name] = config.get("args") or {}
    return found


def _switch(point: Object, name: str, now: bool) -> bool:
    """Whether a plugin is on after ``disabled`` and ``enabled`` of an extension point."""
    if any(entry.get("name") in (name, "*") for entry in point.get("disabled") or ()):
        now = False
    return now or any(entry.get("name") == name for entry in point.get("enabled") or ())


def _weight(point: Object, name: str) -> int:
    return next((int(e.get("weight") or 0) for e in point.get("enabled") or () if e.get("name") == name), 0)


def _plugins(path: str, points: Object, arguments: Mapping[str, Object], known: "Known") -> list[Plugin]:
    everywhere, filtering, scoring = (points.get(point) or {} for point in ("multiPoint", "filter", "score"))
    found = []
    for cls in PLUGINS:
        plugin = _made(cls, arguments, known)
        on = _switch(everywhere, plugin.name, True)
        plugin.filters = plugin.filters and _switch(filtering, plugin.name, on)
        if plugin.weight:
            wanted = _weight(scoring, plugin.name) or _weight(everywhere, plugin.name) or plugin.weight
            plugin.weight = wanted if _switch(scoring, plugin.name, on) else 0
        if plugin.filters or plugin.weight:
            found.append(plugin)
    return found + _own(path, points)


def _own(path: str, points: Object) -> list[Plugin]:
    """Functions of one's own; names that nobody knows are mistakes."""
    known = BUILT_IN | {cls().name for cls in PLUGINS}
    found: list[Plugin] = []
    for point, entries in points.items():
        for number, entry in enumerate(entries.get("enabled") or ()):
            name, where = entry.get("name", ""), f"{path}.{point}.enabled[{number}]"
            if name in known:
                continue
            if ":" not in name or point not in ("filter", "score", *HOOK_POINTS):
                raise ConfigurationError(f'{where}: Invalid value: "{name}": no such plugin')
            try:
                function = imported(name)
            except (ImportError, AttributeError) as error:
                raise ConfigurationError(f'{where}: Invalid value: "{name}": {error}') from error
            if point in HOOK_POINTS:
                continue
            weight = int(entry.get("weight") or 1)
            made = {"filter_function": function} if point == "filter" else {"score_function": function}
            found.append(FunctionPlugin(name, **made, weight=weight))
    return found


def _made(cls: Callable[[], Plugin], arguments: Mapping[str, Object], known: "Known") -> Plugin:
    args: Object = arguments.get(cls().name) or {}
    if cls is NodeResourcesFit:
        return NodeResourcesFit(_strategy(args.get("scoringStrategy") or {}), _ignored(args, known.ignored))
    if cls is NodeResourcesBalancedAllocation:
        resources = [resource["name"] for resource in args.get("resources") or ()]
        return NodeResourcesBalancedAllocation(resources or ("cpu", "memory"))
    if cls is InterPodAffinity:
        weight = args.get("hardPodAffinityWeight", 1)
        if not 0 <= weight <= 100:
            raise ConfigurationError(f"hardPodAffinityWeight: Invalid value: {weight}: not in valid range [0-100]")
        return InterPodAffinity(weight, bool(args.get("ignorePreferredTermsOfExistingPods")))
    if cls is PodTopologySpread:
        return PodTopologySpread(known.groups, _defaults(args))
    if cls is DynamicResources:
        return DynamicResources(known.devices)
    return cls(known.volumes) if cls in OVER_VOLUMES else cls()


def _ignored(args: Object, more: frozenset[str]) -> Ignored:
    named = frozenset(args.get("ignoredResources") or ())
    return Ignored(named | more, frozenset(args.get("ignoredResourceGroups") or ()))


def _strategy(found: Object) -> Strategy:
    resources = [(resource["name"], int(resource.get("weight") or 1)) for resource in found.get("resources") or ()]
    weights = resources or CPU_AND_MEMORY
    match found.get("type") or "LeastAllocated":
        case "LeastAllocated":
            return Strategy(least_allocated, weights)
        case "MostAllocated":
            return Strategy(most_allocated, weights)
        case "RequestedToCapacityRatio":
            return Strategy(requested_to_capacity_ratio(_shape(found)), weights, rounded=True)
        case other:
            raise ConfigurationError(
                f'scoringStrategy.type: Unsupported value: "{other}": supported values: "LeastAllocated",'
                ' "MostAllocated", "RequestedToCapacityRatio"'
            )


def _shape(found: Object) -> list[tuple[int, int]]:
    shape = [
        (int(point.get("utilization") or 0), int(point.get("score") or 0))
        for point in (found.get("requestedToCapacityRatio") or {}).get("shape") or ()
    ]
    path = "scoringStrategy.requestedToCapacityRatio.shape"
    if not shape:
        raise ConfigurationError(f"{path}: Required value: at least one point must be specified")
    for number, (utilization, score) in enumerate(shape):
        if not 0 <= utilization <= 100:
            raise ConfigurationError(
                f"{path}[{number}].utilization: Invalid value: {utilization}: not in valid range [0-100]"
            )
        if not 0 <= score <= 10:
            raise ConfigurationError(f"{path}[{number}].score: Invalid value: {score}: not in valid range [0-10]")
        if number and utilization <= shape[number - 1][0]:
            raise ConfigurationError(
                f"{path}[{number}].utilization: Invalid value: {utilization}: utilization values must be sorted"
                " in increasing order"
            )
    return shape


def _defaults(args: Object) -> Sequence[Default]:
    constraints = args.get("defaultConstraints") or ()
    if args.get("defaultingType", "System") == "System":
        if constraints:
            raise ConfigurationError(
                'defaultingType: Invalid value: "System": when .defaultConstraints are not empty, must be "List"'
            )
        return SYSTEM_DEFAULTS
    return [
        Default(each["topologyKey"], int(each["maxSkew"]), each.get("whenUnsatisfiable") == "DoNotSchedule")
        for each in constraints
    ]
