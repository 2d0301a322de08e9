"""Binding: the older path by which a scheduler binds a Pod; the Pod's ``binding`` subresource does the same."""

from tiphys.api import core_v1
from tiphys.resources.reviews import review

ROW = review("", "Binding", core_v1.Binding, namespaced=True)
