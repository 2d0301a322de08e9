"""``tiphys apply``: what a manifest changes, in the way of ``kubectl apply``, so that both can be used in turn.

``diff.py`` computes the patch from three versions of an object: what was
applied last, what shall be applied, and what the server has. ``annotation.py``
is how what was applied is remembered. Neither talks to anybody.
"""
