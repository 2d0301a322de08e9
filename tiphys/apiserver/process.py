"""What Prometheus' clients show of every process, and what this one is."""

import os
import resource
from collections.abc import Iterator, Mapping
from pathlib import Path

from tiphys.apiserver.discovery import version_info
from tiphys.apiserver.instruments import head


def lines(started: float) -> Iterator[str]:
    """``process_*``; ``started`` in seconds since 1970."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    pages = _statm()
    size = resource.getpagesize()
    files = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for name, kind, help_, value in (
        ("process_cpu_seconds_total", "counter", "CPU time.", f"{usage.ru_utime + usage.ru_stime:.3f}"),
        ("process_open_fds", "gauge", "Open file descriptors.", str(files)),
        ("process_max_fds", "gauge", "Most open files.", str(resource.getrlimit(resource.RLIMIT_NOFILE)[0])),
        ("process_virtual_memory_bytes", "gauge", "Virtual memory.", str(pages[0] * size)),
        ("process_resident_memory_bytes", "gauge", "Resident memory.", str(pages[1] * size)),
        ("process_start_time_seconds", "gauge", "When the server was made.", f"{started:.2f}"),
    ):
        yield from head(name, kind, help_)
        yield f"{name} {value}"


def _statm() -> tuple[int, int]:
    """Virtual and resident pages; zeros where the kernel does not tell."""
    try:
        fields = Path("/proc/self/statm").read_text().split()
    except OSError:
        return 0, 0
    return int(fields[0]), int(fields[1])


def build_lines() -> Iterator[str]:
    info = version_info()
    yield from head("kubernetes_build_info", "gauge", "The Kubernetes that this server behaves like.")
    pairs = (
        ("build_date", info.buildDate),
        ("compiler", info.compiler),
        ("git_commit", info.gitCommit),
        ("git_tree_state", info.gitTreeState),
        ("git_version", info.gitVersion),
        ("go_version", info.goVersion),
        ("major", info.major),
        ("minor", info.minor),
        ("platform", info.platform),
    )
    facts = ",".join(f'{name}="{value}"' for name, value in pairs)
    yield f"kubernetes_build_info{{{facts}}} 1"


def feature_lines(gates: Mapping[str, bool]) -> Iterator[str]:
    """Features that somebody has switched."""
    name = "kubernetes_feature_enabled"
    yield from head(name, "gauge", "Features that were switched by flag.")
    for gate, on in sorted(gates.items()):
        yield f'{name}{{name="{gate}",stage=""}} {int(on)}'
