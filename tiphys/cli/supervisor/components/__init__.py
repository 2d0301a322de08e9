"""How each component is put together from a cluster's configuration; one module each.

The only place where a component meets the others' addresses and files.
"""
