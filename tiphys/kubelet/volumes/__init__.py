"""Volumes of a Pod, on the node's disk.

Read in this order:

- ``payload``: which files a volume made of API objects holds (pure)
- ``writer``: puts them in place so that readers see all of a change or none of it
- ``ownership``: whom the files belong to
- ``plan``: where each volume lies and what has to be done for it (pure)
- ``manager``: does it, keeps it up to date, and undoes it
"""
