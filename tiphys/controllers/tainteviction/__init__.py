"""Name
    tainteviction - removes Pods from nodes whose NoExecute taints they do not, or no longer, tolerate

Watches
    Nodes, Pods

Writes
    Pods (condition DisruptionTarget, delete)

Emits
    TaintManagerEviction on the Pod

Files
    desired.py (when a Pod must go), controller.py

Source
    Kubernetes docs, "Taints and Tolerations", taint based evictions
"""
