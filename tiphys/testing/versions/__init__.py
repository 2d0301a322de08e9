"""A cluster of an older Kubernetes, as far as schemas tell: 1.28 to 1.36.

Resources, versions and fields that the chosen minor does not have are not
served: they are missing in discovery and OpenAPI, requests for them are
answered with 404, unknown fields are warned of or refused, and dropped. The
components are those of 1.36 and see all that they need. What a minor had and
1.36 has no more (old beta versions) is missing, and behaviour is that of 1.36.

- ``absence``: what a minor does not have, from the schemas of every minor
- ``admission``: drops fields from what is about to be stored
- ``door``: what users ask for, and what they are answered
"""

from tiphys.testing.versions.absence import NEWEST, OLDEST, Absence, of, parse
from tiphys.testing.versions.admission import Dropping
from tiphys.testing.versions.door import Door

__all__ = ["NEWEST", "OLDEST", "Absence", "Door", "Dropping", "of", "parse"]
