"""Name
    certificates - approves kubelets' certificate requests, signs what is approved, and removes old requests

Watches
    CertificateSigningRequests

Writes
    conditions and certificates of CertificateSigningRequests; deletes them; creates SubjectAccessReviews

Files
    requests.py (what a request asks for, and whether a signer may give it), signing.py (the certificate),
    desired.py (how a request stands, and when it is old), controller.py

Source
    Kubernetes docs, "Certificates and Certificate Signing Requests", "Kubernetes signers"
"""
