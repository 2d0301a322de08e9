"""Policies in CEL: ValidatingAdmissionPolicy, MutatingAdmissionPolicy, and the match conditions that webhooks share.

- ``declarations``: what expressions of admission may use, with types
- ``scope``: values for them, of one request
- ``conditions``: matchConditions
- ``compiled``: a policy's expressions, ready to run
- ``source``: policies with their bindings, in order
- ``matching``, ``params``: which requests and which parameters a binding means
- ``stages``; ``validation``, ``mutation``, ``patches``: the two stages
- ``checking``: what is wrong with expressions of an object that is written
- ``typechecking``, ``status``: status.typeChecking of validating policies

Only ``stages``, ``source`` and ``status`` are imported while no policy exists.
"""

from tiphys.apiserver.policies.stages import mutating, reporter, validating

__all__ = ["mutating", "reporter", "validating"]
