"""TokenReview and SelfSubjectReview: who is this?"""

from tiphys.api import authentication_v1
from tiphys.resources.reviews import review

ROWS = (
    review("authentication.k8s.io", "TokenReview", authentication_v1.TokenReview),
    review("authentication.k8s.io", "SelfSubjectReview", authentication_v1.SelfSubjectReview),
)
