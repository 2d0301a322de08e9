"""The access reviews: may this subject do that?"""

from tiphys.api import authorization_v1
from tiphys.resources.reviews import review

GROUP = "authorization.k8s.io"
ROWS = (
    review(GROUP, "LocalSubjectAccessReview", authorization_v1.LocalSubjectAccessReview, namespaced=True),
    review(GROUP, "SelfSubjectAccessReview", authorization_v1.SelfSubjectAccessReview),
    review(GROUP, "SelfSubjectRulesReview", authorization_v1.SelfSubjectRulesReview),
    review(GROUP, "SubjectAccessReview", authorization_v1.SubjectAccessReview),
)
