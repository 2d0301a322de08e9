"""Name
    ttl-after-finished - deletes Jobs some time after they have ended

Watches
    Jobs

Writes
    Jobs (delete, in the foreground)

Files
    desired.py (when a Job has had its time), controller.py

Source
    Kubernetes docs, "Automatic Cleanup for Finished Jobs"; KEP-592 TTL after finished
"""
