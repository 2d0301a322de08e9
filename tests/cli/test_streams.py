"""exec and logs against a server that speaks the wire protocol; get -w against the real one."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.served import Done, Place
from tests.wire.test_kubectl import api, exec_over_websocket, websocket_answer
from tiphys.cli import access, errors, workload
from tiphys.cli.tabs import align
from tiphys.wire import channels, http1, websocket

COMMAND = [sys.executable, "-c", "from tiphys.cli import main; main()"]


async def tiphys(url: str, folder: Path, *arguments: str, stdin: bytes = b"") -> tuple[int | None, bytes, bytes]:
    config = folder / "kubeconfig"
    config.write_text(
        json.dumps(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c"}}],
                "clusters": [{"name": "c", "cluster": {"server": url}}],
            }
        )
    )
    verb, *rest = arguments
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        verb,
        f"--kubeconfig={config}",
        *rest,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(stdin), 30)
    return process.returncode, out, err


async def test_exec_carries_streams_and_exit_code(tmp_path: Path) -> None:
    data = b"some input\n" * 300_000
    async with api(exec_over_websocket) as url:
        code, out, err = await tiphys(url, tmp_path, "exec", "-i", "p", "--", "shout", stdin=data)
    assert (code, out) == (3, data.upper()), err
    assert err == b"hello\ncommand terminated with exit code 3\n"


async def cannot_run(head: http1.Head, rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(websocket_answer(head, channels.V5))
    failure = channels.Channels(channels.V5).encode(channels.ERROR, channels.internal_error("no such file"))
    writer.write(websocket.Connection().send(failure))
    await reader.read()


async def hangs_up(head: http1.Head, rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(websocket_answer(head, channels.V5))


async def refuses(head: http1.Head, rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    status = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "not you"}
    body = json.dumps(status).encode()
    writer.write(http1.encode_response(403, "Forbidden", {"Content-Length": str(len(body))}) + body)


async def node_refuses(
    head: http1.Head, rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(http1.encode_response(404, "Not Found", {"Content-Length": "9"}) + b"not found")


@pytest.mark.parametrize(
    ("talk", "message"),
    [
        (cannot_run, b"error: Internal error occurred: no such file\n"),
        (hangs_up, b"error: the connection to the command ended before the command did\n"),
        (node_refuses, b"error: unable to upgrade connection: not found\n"),
        (refuses, b"Error from server (Forbidden): not you\n"),
    ],
)
async def test_exec_that_fails(talk: object, message: bytes, tmp_path: Path) -> None:
    async with api(talk) as url:  # type: ignore[arg-type]
        assert await tiphys(url, tmp_path, "exec", "p", "--", "ls") == (1, b"", message)


def test_watch_shows_what_changes(place: Place) -> None:
    """Rows come as they change, under one header; the command ends with its interrupt."""
    command = [*COMMAND, "get", "cm", "-w", "--kubeconfig", str(place.kubeconfig), "-n", "other"]
    with subprocess.Popen([*command, "--output-watch-events"], stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        try:
            assert watching.stdout.readline().split() == ["EVENT", "NAME", "DATA", "AGE"]
            assert watching.stdout.readline().split()[:2] == ["ADDED", "kube-root-ca.crt"]
            place.kubectl("create", "cm", "fresh", "-n", "other")
            assert watching.stdout.readline().split()[:2] == ["ADDED", "fresh"]
            place.kubectl("delete", "cm", "fresh", "-n", "other")
            assert watching.stdout.readline().split()[:2] == ["DELETED", "fresh"]
        finally:
            watching.terminate()


def test_no_server_says_what_to_do(place: Place, tmp_path: Path) -> None:
    config = tmp_path / "config"
    text = place.kubeconfig.read_text()
    port = text.partition("https://127.0.0.1:")[2].partition("\n")[0]
    config.write_text(text.replace(port, "1"))
    done = Place(config).tiphys("get", "pods")
    assert (done.code, done.out) == (1, "")
    assert "The connection to the server 127.0.0.1:1 was refused" in done.err
    assert "tiphys up" in done.err


def test_a_certificate_of_another_authority(place: Place, tmp_path: Path) -> None:
    config = tmp_path / "config"
    lines = place.kubeconfig.read_text().splitlines(keepends=True)
    config.write_text("".join(line for line in lines if "certificate-authority-data" not in line))
    done = Place(config).tiphys("get", "pods")
    assert done.code == 1
    assert done.err.startswith("Unable to connect to the server: ")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a kubeconfig"),
        ("a: [", "is not YAML"),
        ("{}", "has no current context"),
        ("current-context: x", 'context "x" does not exist'),
    ],
)
def test_bad_kubeconfigs(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(errors.UserError, match=message):
        access.of_kubeconfig(path)


def test_columns_end_where_a_line_has_fewer_cells() -> None:
    assert align("a\tb\tc\nlong\tx\ty\nalone\nd\te", 2) == "a     b  c\nlong  x  y\nalone\nd  e"


def test_choice_of_container() -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}}
    assert workload.choose_container(pod, "b") == "b"
    assert workload.choose_container(pod, "") == "a"
    pod["metadata"]["annotations"] = {workload.DEFAULT_CONTAINER: "b"}  # type: ignore[assignment]
    assert workload.choose_container(pod, "") == "b"
    with pytest.raises(errors.UserError, match="container c is not valid for pod p"):
        workload.choose_container(pod, "c")


def test_doctor_judges_this_machine() -> None:
    done = subprocess.run([*COMMAND, "doctor", "-o", "json"], capture_output=True, text=True, check=False)
    said = json.loads(done.stdout)
    states = {check["name"]: check["state"] for check in said["checks"]}
    assert {"root", "kernel", "cgroups", "overlay", "disk space"} <= states.keys()
    assert said["able"] == ("MISSING" not in states.values()) == (done.returncode == 0)
    assert all(check["detail"] for check in said["checks"] if check["state"] != "OK")


def test_image_of_a_cluster_that_does_not_run(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "image", "ls", "--name", "none", "--data-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert 'there is no cluster "none"' in Done(done.returncode, done.stdout, done.stderr).err
