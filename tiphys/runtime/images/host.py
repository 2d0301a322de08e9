"""The image ``tiphys.dev/host``: this machine's own /usr, so that a first Pod runs with no download at all.

The root is a small layer made here: the links of a merged /usr, empty folders,
a minimal /etc. The host's /usr is mounted into it beneath a writable layer of
the container's own; nothing else of the host is visible.
"""

import os
from pathlib import Path

from tiphys.runtime.images.store import Image, ImageConfig, ImageStore

NAME = "tiphys.dev/host:latest"
ID = "sha256:" + "0" * 57 + "7119875"
LAYER = "sha256:" + "0" * 57 + "7119875"
FOLDERS = ("dev", "etc", "home", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "usr", "var/log", "var/tmp")
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/os-release": 'ID=tiphys-host\nNAME="The host\'s /usr"\nPRETTY_NAME="The host\'s /usr"\n',
}
#: Read by programs in /usr and not secret; the dynamic linker's cache names libraries in /usr.
COPIED = ("etc/ld.so.cache", "etc/ssl/certs/ca-certificates.crt", "etc/localtime")


def ensure(store: ImageStore) -> None:
    """Make the image anew, for the /usr of today."""
    root = store.layer_path(LAYER)
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)
    for folder in ("tmp", "var/tmp"):
        (root / folder).chmod(0o1777)
    for name in MERGED:
        target = Path("/") / name
        if target.is_symlink() and not (root / name).is_symlink():
            (root / name).symlink_to(os.readlink(target))
    for name, text in FILES.items():
        (root / name).write_text(text)
    for name in COPIED:
        source = Path("/") / name
        if source.is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(source.read_bytes())
    alternatives = Path("/etc/alternatives")
    if alternatives.is_dir():
        _copy_links(alternatives, root / "etc/alternatives")
    if store.find(ID, None) is None:
        config = ImageConfig(env=["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], cmd=["/bin/sh"])
        store.put(Image(id=ID, tags=[NAME], layers=[LAYER], config=config, host=True, pinned=True))


def _copy_links(source: Path, target: Path) -> None:
    """Debian's choice between programs: links in /usr that lead through /etc."""
    target.mkdir(parents=True, exist_ok=True)
    for link in source.iterdir():
        if link.is_symlink() and not (target / link.name).is_symlink():
            (target / link.name).symlink_to(os.readlink(link))
