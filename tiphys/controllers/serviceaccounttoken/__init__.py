"""Name
    serviceaccounttoken - fills in the token Secrets of service accounts, and deletes those whose account is gone

Watches
    Secrets, ServiceAccounts

Writes
    Secrets of type kubernetes.io/service-account-token

Files
    desired.py (what becomes of a Secret), signing.py (the token), controller.py

Source
    Kubernetes docs, "Managing Service Accounts", "Token controller"
"""
