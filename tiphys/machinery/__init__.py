"""What all API objects share, as functions without I/O.

In reading order: ``codec`` (bytes to objects and back), ``omission`` (what Go
leaves out), ``strict`` and ``documents`` (unknown and duplicate fields, YAML),
``fields`` and ``errors`` (what is wrong, in Kubernetes' words), ``names``,
``quantity``, ``times``, ``intstr``, ``selectors``, ``meta``, ``conditions``,
``patch``, ``hashing``, ``jsonpath``.
"""
