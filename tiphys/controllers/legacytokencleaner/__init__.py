"""Name
    legacytokencleaner - removes generated tokens that nobody has used for a year

Watches
    Secrets, ServiceAccounts, Pods, the ConfigMap that says since when uses are written down

Writes
    Secrets: first the label kubernetes.io/legacy-token-invalid-since, a year later their deletion

Files
    desired.py (what becomes of a token Secret), controller.py

Source
    KEP-2800 Clean up legacy ServiceAccount tokens; Kubernetes docs, "Managing Service Accounts"
"""
