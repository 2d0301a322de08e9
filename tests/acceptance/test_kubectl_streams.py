"""kubectl commands that carry bytes both ways: logs, exec, attach, cp, port-forward, run, debug, proxy."""

import os
import pty
import re
import select
import subprocess
import urllib.request
from pathlib import Path

from tests.acceptance.conftest import free_port
from tests.acceptance.outside import PATIENCE_SECONDS, Kubectl, Step

LOGS = [
    Step("logs pair", r'^Defaulted container "talks" out of: talks, listens, init \(init\)\nline-1\nline-2\nline-3$'),
    Step("logs pair -c init", r"\Afrom-init\n\Z"),
    Step("logs pair --all-containers", r"^from-init$"),
    Step("logs pair --all-containers --prefix", r"^\[pod/pair/talks\] line-1$"),
    Step("logs -l kind=pair --all-containers", r"^line-1$"),
    Step("logs pair -c talks --tail=1", r"\Aline-3\n\Z"),
    Step("logs pair -c talks --since=1h --timestamps", r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z line-1$"),
    Step("logs pair -c talks --since-time=2035-01-01T00:00:00Z", r"\A\Z"),
    Step("logs pair -c talks --limit-bytes=6", r"\Aline-1\Z"),
    Step("logs pair -c nope", r"^error: container nope is not valid for pod pair$", 1),
    Step("logs pair -c talks -p", r'previous terminated container "talks" in pod "pair" not found$', 1),
    Step("logs deploy/web", r"^Found 2 pods, using pod/web-"),
    Step("logs nope", r'^error: error from server \(NotFound\): pods "nope" not found', 1),
]

EXEC = [
    Step("exec pair -c talks -- echo hi", r"\Ahi\n\Z"),
    Step("exec pair -c talks -- sh -c 'echo to-err >&2; exit 7'", r"^to-err\ncommand terminated with exit code 7$", 7),
    Step("exec -i pair -c talks -- cat", r"\Athrough\n\Z", stdin="through\n"),
    Step("exec pair -c talks -- printenv GREETING PASSWORD", r"\Ahello\ns3cret\n\Z"),
    Step("exec pair -c talks -- nosuchcommand", r'exec: "nosuchcommand": executable file not found in \$PATH', 1),
    Step("exec pair -c nope -- ls", r"^Error from server \(BadRequest\): container nope is not valid for pod pair$", 1),
    Step("attach pair -c init", r"unable to upgrade connection: container init not found in pod pair_shop$", 1),
    Step("exec pair -c init -- ls", r'unable to upgrade connection: container not found \("init"\)$', 1),
    Step("exec nope -- ls", r'^Error from server \(NotFound\): pods "nope" not found$', 1),
    Step("exec deploy/web -- echo x", r"\Ax\n\Z"),
    Step("exec pair -c talks -- sh -c 'head -c 3000000 /dev/zero | md5sum'", r"^[0-9a-f]{32} "),
]


def test_logs(shop: Kubectl) -> None:
    shop.walk(LOGS)


def test_exec(shop: Kubectl) -> None:
    shop.walk(EXEC)


def _read_until(process: "subprocess.Popen[bytes]", wanted: bytes) -> bytes:
    """What a command prints, up to the line that holds ``wanted``."""
    assert process.stdout is not None
    seen = b""
    while wanted not in seen:
        line = process.stdout.readline()
        assert line, seen
        seen += line
    return seen


def test_logs_follow(shop: Kubectl) -> None:
    """What a container says arrives while it says it."""
    follower = shop.start("logs -f pair -c listens")
    assert b"ready" in _read_until(follower, b"ready")
    speaker = shop.start("attach -i pair -c listens")
    assert speaker.stdin is not None
    speaker.stdin.write(b"follow me\n")
    speaker.stdin.flush()
    _read_until(follower, b"got follow me")
    for process in (speaker, follower):
        process.kill()
        process.communicate()


def test_attach(shop: Kubectl) -> None:
    follower = shop.start("attach -i pair -c listens")
    assert follower.stdin is not None
    follower.stdin.write(b"greetings\n")
    follower.stdin.flush()
    _read_until(follower, b"got greetings")
    follower.kill()
    follower.communicate()
    assert "got greetings" in shop("logs pair -c listens")


def test_terminal(shop: Kubectl) -> None:
    """``exec -it``: a terminal inside, of the size of the one outside."""
    child, master = pty.fork()
    if child == 0:
        command = "stty rows 31 cols 101; exec " + " ".join(shop.line(["exec", "-it", "pair", "-c", "talks"]))
        os.execvpe(
            "sh", ["sh", "-c", command + " -- sh -c 'tty; stty size; read answer; echo [$answer]'"], shop.environment
        )
    seen = ""
    written = False
    while ready := select.select([master], [], [], PATIENCE_SECONDS)[0]:
        try:
            piece = os.read(ready[0], 4096)
        except OSError:
            break  # the terminal's other end is gone
        seen += piece.decode()
        if "31 101" in seen and not written:
            os.write(master, b"yes\r")
            written = True
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, seen
    assert re.search(r"/dev/pts/\d+", seen), seen
    assert "31 101" in seen, seen
    assert "[yes]" in seen, seen


def test_copy(shop: Kubectl, tmp_path: Path) -> None:
    here = shop.within("shop", tmp_path)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(bytes(range(256)) * 4096)
    here("cp tree pair:/tmp/tree -c talks")
    here("cp pair:/tmp/tree back -c talks")
    assert (tmp_path / "back" / "file").read_bytes() == bytes(range(256)) * 4096


def _forwarded(kubectl: Kubectl, target: str) -> str:
    port = free_port()
    forward = kubectl.start(f"port-forward {target.format(port)}")
    assert forward.stdout is not None
    first = forward.stdout.readline().decode()
    try:
        assert first.startswith(f"Forwarding from 127.0.0.1:{port} -> 8080"), first
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            text: str = answer.read().decode()
            return text
    finally:
        forward.kill()
        forward.communicate()


def test_port_forward(shop: Kubectl) -> None:
    pod = shop("get pods -l app=web -o jsonpath={.items[0].metadata.name}")
    assert _forwarded(shop, f"pod/{pod} {{}}:8080") == f"pod={pod}\n"
    assert _forwarded(shop, "svc/web {}:80").startswith("pod=web-")


def test_proxy(shop: Kubectl) -> None:
    port = free_port()
    proxy = shop.start(f"proxy --port={port}")
    assert proxy.stdout is not None
    assert proxy.stdout.readline().startswith(b"Starting to serve on")
    try:
        base = f"http://127.0.0.1:{port}"
        for path, expected in (
            ("/version", '"v1.36.'),
            ("/api/v1/namespaces/shop/services/web:80/proxy/", "pod=web-"),
            ("/api/v1/namespaces/shop/pods/pair/log?container=init", "from-init"),
        ):
            with urllib.request.urlopen(base + path, timeout=5) as answer:
                assert expected in answer.read().decode()
    finally:
        proxy.kill()
        proxy.communicate()


def test_run_and_remove(kubectl: Kubectl) -> None:
    """``run --rm -i``: what goes in comes out, and nothing stays."""
    run = "run r --image=tiphys.dev/host --image-pull-policy=IfNotPresent --restart=Never --rm -i -q"
    done = kubectl.run(f"{run} -- sh -c 'read line; echo got $line; exit 3'", stdin="this\n")
    assert "got this" in done.stdout
    assert done.returncode == 3, done.stdout
    assert "NotFound" in kubectl.run("get pod r").stdout


def test_debug(kubectl: Kubectl) -> None:
    kubectl("run r --image=tiphys.dev/host --image-pull-policy=IfNotPresent --overrides="
            """'{"spec":{"terminationGracePeriodSeconds":0}}' -- sleep 1000""")  # fmt: skip
    kubectl("wait --for=condition=Ready pod/r --timeout=20s")
    # It speaks when it is spoken to: what is said before anybody is attached is in the log only. And the input
    # stays open, because at its end an attached client leaves a container that outlives its input.
    look = (
        "debug r -i --profile=general --image=tiphys.dev/host --target=r -- sh -c 'read go; cat /proc/1/cmdline; echo'"
    )
    debugger = kubectl.start(look)
    assert debugger.stdin is not None
    debugger.stdin.write(b"go\n")
    debugger.stdin.flush()
    _read_until(debugger, b"sleep")
    debugger.communicate(timeout=PATIENCE_SECONDS)
    assert kubectl("get pod r -o jsonpath={.spec.ephemeralContainers[0].targetContainerName}") == "r"
    assert "Ephemeral Containers:" in kubectl("describe pod r")
