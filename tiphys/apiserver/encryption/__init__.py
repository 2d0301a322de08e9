"""Encryption at rest: objects are sealed on their way into the store and opened on their way out.

``config.py`` reads and checks the file of ``--encryption-provider-config``,
``providers.py`` holds the ciphers, ``kms.py`` those whose keys a plugin keeps,
``chain.py`` says which of them writes and which may read, ``store.py`` wraps
a store with it and ``keeping.py`` builds all of it and follows the file.
Source: Kubernetes docs, "Encrypting Confidential Data at Rest"; KEP-3299 KMS v2 Improvements.
"""
