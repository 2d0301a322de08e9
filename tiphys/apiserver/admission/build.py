"""The chain of one API server, put together from its configuration."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tiphys.apiserver import policies, webhooks
from tiphys.apiserver.admission import configuration, table
from tiphys.apiserver.admission.chain import Chain
from tiphys.apiserver.admission.plugin import Mutator, Tools, Validator
from tiphys.apiserver.config import SecurityConfig
from tiphys.apiserver.webhooks.calling import Calling


def build(config: SecurityConfig, tools: Tools) -> Chain:
    """Raises table.PluginError, naming what is wrong with flags or configuration file."""
    names = table.chosen(config.enable_admission_plugins, config.disable_admission_plugins)
    tools = replace(tools, configuration=configuration.read(config.admission_config_file))
    try:
        callers = {name: _caller(tools, name) for name in ("MutatingAdmissionWebhook", "ValidatingAdmissionWebhook")}
    except ValueError as problem:
        raise table.PluginError(str(problem)) from problem
    calling = webhooks.shared(tools, callers["MutatingAdmissionWebhook"])
    mutators: Mapping[str, Callable[[Calling], Mutator]] = {
        "MutatingAdmissionPolicy": policies.mutating,
        "MutatingAdmissionWebhook": webhooks.mutating,
    }
    validators: Mapping[str, Callable[[Calling], Validator]] = {
        "ValidatingAdmissionPolicy": policies.validating,
        "ValidatingAdmissionWebhook": lambda shared: webhooks.validating(
            replace(shared, caller=callers["ValidatingAdmissionWebhook"])
        ),
    }
    return Chain(
        tools,
        names,
        [make(calling) for name, make in mutators.items() if name in names],
        [make(calling) for name, make in validators.items() if name in names],
        closing=[*(caller.close for caller in callers.values()), policies.reporter(calling).close],
        meters=calling.meters,
    )


def _caller(tools: Tools, name: str) -> webhooks.Caller:
    """Raises ValueError."""
    credentials = webhooks.Credentials.configured(tools.configuration.get(name))
    return webhooks.Caller(tools.objects, random.Random(), credentials, tools.webhooks)


def problem_of(enabled: Sequence[str], disabled: Sequence[str]) -> str:
    """What is wrong with the flags; empty if nothing is."""
    try:
        table.check(enabled, disabled)
    except table.PluginError as problem:
        return str(problem)
    return ""
