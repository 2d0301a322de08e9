"""The audit log: who asked what, and what came of it.

Name: audit
Reads: the policy file, once, at the start.
Writes: a log file (JSON lines), a webhook.
Metrics: ``apiserver_audit_*``.
Source: Kubernetes docs, "Auditing" and "kube-apiserver Audit Configuration (v1)".

``policy`` (what is wanted), ``event`` (what is written), ``auditor`` (a
request's way through both), ``logfile`` and ``webhook`` (where events go),
``batch`` (how they get there without holding a request up), ``assembly`` (all of it
from a configuration).
"""
