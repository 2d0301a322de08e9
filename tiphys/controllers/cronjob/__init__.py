"""Name
    cronjob - makes Jobs at the times that a CronJob's schedule names

Watches
    CronJobs, Jobs

Writes
    Jobs (create, delete), CronJob status

Emits
    SuccessfulCreate, SuccessfulDelete, FailedCreate, FailedDelete, FailedGet, SawCompletedJob, MissingJob,
    UnexpectedJob, JobAlreadyActive, MissSchedule, TooManyMissedTimes, UnknownTimeZone, UnparseableSchedule,
    InvalidSchedule on the CronJob

Files
    desired.py (which time is due, which Jobs are history), controller.py

Source
    Kubernetes docs, "CronJob"; KEP-19 Graduate CronJob to stable; KEP-3140 Time zone support in CronJob
"""
