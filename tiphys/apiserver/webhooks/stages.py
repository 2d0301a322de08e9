"""Both stages over one client, as the chain is given them."""

from tiphys.apiserver.admission.meters import Meters
from tiphys.apiserver.admission.plugin import Tools
from tiphys.apiserver.webhooks.calling import Calling
from tiphys.apiserver.webhooks.client import Caller
from tiphys.apiserver.webhooks.conditions import Conditions
from tiphys.apiserver.webhooks.mutating import Mutating
from tiphys.apiserver.webhooks.source import Source
from tiphys.apiserver.webhooks.subject import Rows
from tiphys.apiserver.webhooks.validating import Validating


def shared(tools: Tools, caller: Caller) -> Calling:
    """What both share."""
    return Calling(tools, caller, Rows(tools.catalog), Conditions(tools), Meters())


def mutating(calling: Calling) -> Mutating:
    return Mutating(calling, Source(calling.tools.objects, "mutatingwebhookconfigurations"))


def validating(calling: Calling) -> Validating:
    return Validating(calling, Source(calling.tools.objects, "validatingwebhookconfigurations"))
