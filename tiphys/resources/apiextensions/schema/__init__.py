"""Structural schemas of custom resources, compiled: what is pruned, defaulted and refused.

A schema is plain data, the ``openAPIV3Schema`` of a version. ``compiled.Schema``
holds everything that serving needs of it. Each rule has a fast form, closures
that say whether all is well, and a slow one that walks the schema and says what
is wrong, in Kubernetes' words; the slow one runs only when the fast one says no.
Source: Kubernetes docs, "Extend the Kubernetes API with CustomResourceDefinitions".
"""
