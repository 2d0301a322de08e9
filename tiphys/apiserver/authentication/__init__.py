"""Who asks. ``chain`` puts the authenticators in Kubernetes' order; each has a module of its own.

Read in this order: ``authenticator`` (what they have in common), ``certificates``,
``proxies`` (an authenticating proxy's headers), ``files`` (static tokens and
passwords), ``serviceaccounts`` and ``legacy`` (tokens of service accounts),
``bootstraptokens``, ``oidc`` with ``mapping``, ``keysets`` and ``configuration``,
``webhook``, ``impersonation``, ``chain``.
Source: Kubernetes docs, "Authenticating".
"""

from tiphys.apiserver.authentication.authenticator import Authenticated, TokenAuthenticator, TokenProblem, bearer_token
from tiphys.apiserver.authentication.certificates import Certificates
from tiphys.apiserver.authentication.chain import Authentication
from tiphys.apiserver.authentication.files import StaticTokens

__all__ = [
    "Authenticated",
    "Authentication",
    "Certificates",
    "StaticTokens",
    "TokenAuthenticator",
    "TokenProblem",
    "bearer_token",
]
