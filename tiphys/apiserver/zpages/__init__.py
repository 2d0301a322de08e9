"""Pages for people who look into a running server: ``/statusz``, ``/flagz``, ``/debug/pprof``, ``/logs/``.

Source: KEP-4827 and KEP-4828; Kubernetes docs, "Kubernetes z-pages".
"""
