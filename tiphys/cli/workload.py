"""Which Pod and which container ``logs`` and ``exec`` mean."""

from typing import Any

import click

from tiphys.cli.discovery import Discovery
from tiphys.cli.errors import UserError
from tiphys.cli.server import Server

Dict = dict[str, Any]

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


def find_pod(server: Server, word: str) -> Dict:
    """A Pod by its name, or one of a workload's (``deployment/web``): one that is ready if there is any."""
    kind_word, slash, name = word.rpartition("/")
    if not slash or kind_word in ("pod", "pods", "po"):
        found: Dict = server.get(f"/api/v1/namespaces/{server.namespace}/pods/{name}")
        return found
    kind = Discovery(server).find(kind_word)
    owner = server.get(kind.path(server.namespace, name))
    labels = _selector(owner)
    if not labels:
        raise UserError(f"{kind.label} {name} has no Pods of its own")
    pods = server.get(f"/api/v1/namespaces/{server.namespace}/pods", {"labelSelector": labels}).get("items") or []
    if not pods:
        raise UserError(f"no Pods of {kind.label}/{name} were found in namespace {server.namespace}")
    pods.sort(key=_preference)
    if len(pods) > 1:
        click.echo(f"Found {len(pods)} pods, using pod/{pods[0]['metadata']['name']}", err=True)
    return dict(pods[0])


def _selector(owner: Dict) -> str:
    """A workload's selector, or a Service's, as the API takes it."""
    selector = (owner.get("spec") or {}).get("selector") or {}
    if owner.get("kind") == "Service":
        return ",".join(f"{key}={text}" for key, text in sorted(selector.items()))
    from tiphys.cli.describe.parts import selector_text  # noqa: PLC0415  # a Pod's name needs none of this

    return selector_text(selector) if selector else ""


def _preference(pod: Dict) -> tuple[bool, bool, bool, str]:
    """Those that run and are ready first, then the older."""
    status = pod.get("status") or {}
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
    metadata = pod["metadata"]
    running = status.get("phase") == "Running"
    return "deletionTimestamp" in metadata, not running, not ready, metadata.get("creationTimestamp", "")


def choose_container(pod: Dict, asked: str) -> str:
    """The container asked for, or the Pod's first; says so where there are others. Raises UserError."""
    name = pod["metadata"]["name"]
    own = container_names(pod, "containers")
    everything = own + container_names(pod, "initContainers") + container_names(pod, "ephemeralContainers")
    if asked:
        if asked not in everything:
            raise UserError(f"container {asked} is not valid for pod {name} (choose one of: {', '.join(everything)})")
        return asked
    marked = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER)
    if marked in own:
        return str(marked)
    if len(everything) > 1:
        titled = own + [f"{init} (init)" for init in container_names(pod, "initContainers")]
        titled += [f"{extra} (ephem)" for extra in container_names(pod, "ephemeralContainers")]
        click.echo(f'Defaulted container "{own[0]}" out of: {", ".join(titled)}', err=True)
    return own[0]


def container_names(pod: Dict, field: str) -> list[str]:
    return [str(container["name"]) for container in pod["spec"].get(field) or ()]
