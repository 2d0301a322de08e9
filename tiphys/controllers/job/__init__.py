"""Name
    job - runs Pods until enough of them have succeeded

Watches
    Jobs, Pods

Writes
    Pods (create, delete, owner references, the tracking finalizer), Job status

Emits
    SuccessfulCreate, SuccessfulDelete, FailedCreate, FailedDelete, Suspended, Resumed, Completed,
    TooManySucceededPods, and the reason of a failure (BackoffLimitExceeded, DeadlineExceeded,
    PodFailurePolicy, FailedIndexes, MaxFailedIndexesExceeded) on the Job

Files
    desired.py (what a Job's Pods amount to: observe, verdict, plan), tracking.py (counting each Pod once),
    indexes.py (sets of completion indexes), policies.py (pod failure and success policies),
    backoff.py (when to try again), template.py (the Pods to create), controller.py

Source
    Kubernetes docs, "Jobs"; KEP-2307 Job tracking without lingering Pods; KEP-3329 Retriable and
    non-retriable Pod failures; KEP-3850 Backoff limit per index; KEP-3998 Job success/completion policy;
    KEP-3939 Pod replacement policy; KEP-4368 Job API managed-by mechanism
"""
