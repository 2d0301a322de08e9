"""Name
    rootca - publishes the API server's authority in every namespace, as ConfigMap kube-root-ca.crt

Watches
    Namespaces, ConfigMaps named kube-root-ca.crt

Writes
    ConfigMaps

Files
    controller.py

Source
    Kubernetes docs, "Managing Service Accounts", bound service account tokens
"""
