"""Webhooks: other servers that are asked about a request, and both admission plugins that ask them.

- ``resolve``: where a Service's webhook answers
- ``client``: asks one, over TLS; also used for conversion of custom resources
- ``credentials``: who the API server is to them
- ``failures``: what a failed call is called, in the words of Kubernetes' client
- ``subject``: an object as webhooks and policies see it, and back
- ``matching``: which requests a rule, a selector and a match policy mean
- ``review``: AdmissionReview, both ways
- ``source``: the webhooks that are configured, in their order
- ``mutating``, ``validating``: the two stages

Nothing but ``source`` does any work while no webhook is configured.
"""

from tiphys.apiserver.webhooks.client import Caller, CallError
from tiphys.apiserver.webhooks.credentials import Credentials
from tiphys.apiserver.webhooks.stages import mutating, shared, validating

__all__ = ["CallError", "Caller", "Credentials", "mutating", "shared", "validating"]
