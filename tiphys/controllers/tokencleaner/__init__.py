"""Name
    tokencleaner - deletes bootstrap tokens whose time is over

Watches
    Secrets of kube-system

Writes
    Secrets (delete)

Files
    controller.py; when a token ends is in ../bootstraptokens.py

Source
    Kubernetes docs, "Authenticating with Bootstrap Tokens"
"""
