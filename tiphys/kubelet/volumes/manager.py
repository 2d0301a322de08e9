"""Makes, refreshes and removes the volumes of Pods."""

import asyncio
import logging
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from tiphys.api import core_v1
from tiphys.base.clock import Clock
from tiphys.kubelet import downward, tokens
from tiphys.kubelet.environment import Sources
from tiphys.kubelet.volumes import ownership, payload, plan, writer
from tiphys.machinery import errors, quantity
from tiphys.machinery.goformat import quote

logger = logging.getLogger(__name__)


class VolumeFault(Exception):
    """A volume cannot be set up; the text is Kubernetes' FailedMount message."""


class VolumeManager:
    """Files are written in the event loop's thread: a few small ones, less work than handing them over."""

    def __init__(self, clock: Clock, token_source: tokens.Tokens, privileged: bool) -> None:
        self._clock = clock
        self._tokens = token_source
        self._privileged = privileged

    async def set_up(self, itself: downward.Itself, volumes: Sequence[plan.PlannedVolume], sources: Sources) -> None:
        """Make every volume; those that exist are brought up to date. Raises VolumeFault for the first that fails."""
        for planned in volumes:
            try:
                await self._set_up(itself, planned, sources)
            except (payload.PayloadError, errors.StatusError, ValueError) as error:
                raise VolumeFault(f"MountVolume.SetUp failed for volume {quote(planned.name)} : {error}") from error
            except OSError as error:
                raise VolumeFault(f"MountVolume.SetUp failed for volume {quote(planned.name)} : {error}") from error

    async def _set_up(self, itself: downward.Itself, planned: plan.PlannedVolume, sources: Sources) -> None:
        context = itself.pod.spec.securityContext
        group = context.fsGroup if context and self._privileged else None
        match planned.kind:
            case "unavailable":
                raise payload.PayloadError(planned.why)
            case "image":
                # It is pulled when a container that mounts it starts; the runtime mounts it.
                pass
            case "hostPath":
                host_path(planned.volume.hostPath)
            case "directory":
                # Simulated nodes leave the machine that they run on alone.
                if self._privileged and not planned.path.exists():
                    _make_directory(planned.path)
            case "emptyDir" | "memory":
                if not planned.path.exists():
                    _make_directory(planned.path)
                if planned.kind == "memory" and self._privileged and not os.path.ismount(planned.path):  # noqa: ASYNC240  # one stat
                    await _mount_tmpfs(planned)
                if group is not None:
                    ownership.give_to_group(planned.path, group, only_if_needed=True)
            case "objects":
                await self._write(itself, planned, sources, group)

    async def _write(
        self, itself: downward.Itself, planned: plan.PlannedVolume, sources: Sources, group: int | None
    ) -> None:
        found = {key: await self._tokens.get(itself.pod, key) for key in payload.tokens_of(planned.volume)}
        files = payload.payload(itself, planned.volume, sources, found)
        assert files is not None
        if not planned.path.exists():
            _make_directory(planned.path)
        if not self._privileged:
            files = {path: payload.File(file.data, file.mode) for path, file in files.items()}
        writer.write(planned.path, files, self._clock.now(), group)

    async def tear_down(self, pod_directory: Path, everything: bool) -> None:
        """Unmount and remove the Pod's volumes; with ``everything`` the whole directory."""
        for mounted in mounts_below(pod_directory):
            await _run("umount", "-l", mounted)
        target = pod_directory if everything else pod_directory / "volumes"
        # An emptyDir can hold very many files; the loop must not stand still meanwhile.
        await asyncio.to_thread(shutil.rmtree, target, True)


def _make_directory(path: Path) -> None:
    """World-writable, as any user of the Pod may be the one who writes."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o777)


async def _mount_tmpfs(planned: plan.PlannedVolume) -> None:
    source = planned.volume.emptyDir
    limit = quantity.value(source.sizeLimit) if source and source.sizeLimit else 0
    options = f"mode=0777,size={limit}" if limit else "mode=0777"
    await _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(planned.path))


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, text = await process.communicate()
    if process.returncode:
        raise OSError(f"{' '.join(command)}: {text.decode(errors='replace').strip()}")


def mounts_below(directory: Path) -> list[str]:
    """Mount points below ``directory``, innermost first."""
    prefix = f"{directory}/"
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return []
    points = [line.split(" ")[4].encode().decode("unicode_escape") for line in lines]
    return sorted((p for p in points if p.startswith(prefix)), key=len, reverse=True)


_KINDS = {
    "Directory": (stat.S_ISDIR, "directory"),
    "File": (stat.S_ISREG, "file"),
    "Socket": (stat.S_ISSOCK, "socket"),
    "CharDevice": (stat.S_ISCHR, "character device"),
    "BlockDevice": (stat.S_ISBLK, "block device"),
}


def host_path(source: core_v1.HostPathVolumeSource | None) -> None:
    """Check the path's type, or make it. Raises PayloadError in Kubernetes' words."""
    if source is None or not source.type:
        return
    path = Path(source.path)
    if source.type == "DirectoryOrCreate":
        if not path.exists():
            path.mkdir(parents=True, mode=0o755)
        kind = _KINDS["Directory"]
    elif source.type == "FileOrCreate":
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        kind = _KINDS["File"]
    else:
        kind = _KINDS[source.type]
    test, word = kind
    try:
        found = path.stat().st_mode
    except OSError:
        found = 0
    if not test(found):
        raise payload.PayloadError(f"hostPath type check failed: {source.path} is not a {word}")
