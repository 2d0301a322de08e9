"""The process that owns all others of a cluster.

Reading order: ``plan.py`` (what to start, when; pure), ``component.py`` (one child
process: fork, logging, readiness), ``loop.py`` (the supervisor), ``remote.py``
(how the command line talks to it), ``table.py`` (which components there are).

States of a component, and what moves it:

    waiting  -- all it waits for are ready -->  starting
    starting -- it reports readiness -------->  ready
    starting, ready -- its process ends ----->  backoff
    backoff  -- the pause is over ----------->  starting
    any      -- stop -----------------------> stopping -> stopped
"""
