"""Name
    serviceaccount - gives every namespace its ServiceAccount "default"

Watches
    Namespaces, ServiceAccounts

Writes
    ServiceAccounts

Files
    controller.py

Source
    Kubernetes docs, "Managing Service Accounts", ServiceAccount controller
"""
