"""Name
    bootstrapsigner - signs the cluster's public description with every bootstrap token

Watches
    ConfigMap kube-public/cluster-info, Secrets of kube-system

Writes
    that ConfigMap: one signature (jws-kubeconfig-<token id>) for each token that may sign

Files
    desired.py (which signatures there should be), controller.py

Source
    Kubernetes docs, "Authenticating with Bootstrap Tokens", ConfigMap Signing
"""
