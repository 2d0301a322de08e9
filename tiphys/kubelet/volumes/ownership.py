"""fsGroup: a volume's files belong to the Pod's group.

Source: Kubernetes docs, "Configure a Security Context for a Pod or Container", fsGroup and fsGroupChangePolicy.
"""

import os
from pathlib import Path

SETGID = 0o2000


def give_to_group(root: Path, group: int, only_if_needed: bool = False) -> None:
    """Everything below ``root`` belongs to ``group``, which may read and write it, and new files will as well."""
    if only_if_needed and _fits(root, group):
        return
    for directory, subdirectories, files in os.walk(root):
        for name in (*subdirectories, *files):
            _give(Path(directory) / name, group)
    _give(root, group)


def _fits(root: Path, group: int) -> bool:
    found = root.stat()
    return found.st_gid == group and found.st_mode & (SETGID | 0o770) == (SETGID | 0o770)


def _give(path: Path, group: int) -> None:
    found = path.lstat()
    os.lchown(path, -1, group)
    if path.is_symlink():
        return
    mode = found.st_mode & 0o7777 | 0o660
    if path.is_dir():
        mode |= SETGID | 0o110
    path.chmod(mode)
