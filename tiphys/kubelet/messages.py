"""A container's last words: its termination message, from its file or from the end of its log.

Source: Kubernetes docs, "Determine the Reason for Pod Failure".
"""

from collections import deque
from pathlib import Path

from tiphys.kubelet import labels
from tiphys.kubelet.logs import parse_line
from tiphys.runtime.cri import api_pb2

FILE_BYTES_MAX = 4096
LOG_BYTES_MAX = 2048
LOG_LINES_MAX = 80


def termination_message(status: api_pb2.ContainerStatus) -> str:
    """Empty if it left none. The runtime's own message, if any, stands in front."""
    annotations = status.annotations
    text = _from_file(annotations.get(labels.MESSAGE_FILE, ""))
    policy = annotations.get(labels.MESSAGE_POLICY, "")
    if not text and policy == "FallbackToLogsOnError" and status.exit_code != 0:
        text = _from_log(status.log_path)
    if status.message and text:
        return f"{status.message}: {text}"
    return status.message or text


def _from_file(name: str) -> str:
    if not name:
        return ""
    try:
        with Path(name).open("rb") as file:
            return file.read(FILE_BYTES_MAX).decode(errors="replace")
    except OSError:
        return ""


def _from_log(name: str) -> str:
    """The last lines of a log, without their stamps."""
    if not name:
        return ""
    try:
        with Path(name).open("rb") as file:
            file.seek(0, 2)
            # Stamps make a line longer than its text; twice the limit holds enough of it.
            file.seek(max(0, file.tell() - 4 * LOG_BYTES_MAX))
            lines = deque(file.read().splitlines(keepends=True), LOG_LINES_MAX)
    except OSError:
        return ""
    texts = [parsed.text for line in lines if (parsed := parse_line(line)) is not None]
    return b"".join(texts)[-LOG_BYTES_MAX:].decode(errors="replace")
