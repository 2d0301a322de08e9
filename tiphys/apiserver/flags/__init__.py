"""The flags of kube-apiserver, by name: one row each says which field of which configuration it sets.

Rows stand in one module per subject, next to ``flag`` (what a row is) and
``parse`` (from ``--name=value`` to configurations). ``tiphys apiserver`` takes
them as they are, ``tiphys up --apiserver-arg name=value`` passes them on.
Source: Kubernetes docs, "kube-apiserver" (command line reference), by behaviour.
"""

from tiphys.apiserver.flags.flag import Flag, FlagError
from tiphys.apiserver.flags.parse import FLAGS, Settings, parse

__all__ = ["FLAGS", "Flag", "FlagError", "Settings", "parse"]
