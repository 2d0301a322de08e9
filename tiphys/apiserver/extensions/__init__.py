"""Custom resources: what CustomResourceDefinitions define, served like everything else.

| module | is |
|---|---|
| ``kinds`` | a definition's version as class and row |
| ``strategy``, ``printing``, ``scaling`` | the rules, columns and scale of such a row |
| ``views`` | stored bytes of any version as a version's objects |
| ``naming`` | which names a definition gets; pure |
| ``serving`` | endpoints that come and go |
| ``controller`` | follows definitions: names, Established, Terminating |

Source: Kubernetes docs, "Custom Resources"; apiextensions-apiserver, by behaviour.
"""
