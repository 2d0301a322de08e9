"""Events as one line of text each, the older format of the log.

Source: apiserver's ``--audit-log-format=legacy``, by behaviour.
"""

import json
from typing import Any


def text_of(line: bytes) -> bytes:
    """The line of text that an event's JSON becomes."""
    event: dict[str, Any] = json.loads(line)
    user, acted = event.get("user", {}), event.get("impersonatedUser")
    groups = ",".join(f'"{group}"' for group in user.get("groups", ())) or "<none>"
    as_user = f'"{acted["username"]}"' if acted else "<self>"
    as_groups = "<lookup>"
    if acted and acted.get("groups"):
        as_groups = ",".join(f'"{group}"' for group in acted["groups"])
    reference = event.get("objectRef") or {}
    namespace = reference.get("namespace") or "<none>"
    code = (event.get("responseStatus") or {}).get("code") or "<deferred>"
    source = (event.get("sourceIPs") or [""])[0]
    return (
        f'{event.get("stageTimestamp", "")} AUDIT: id="{event["auditID"]}" stage="{event["stage"]}" ip="{source}" '
        f'method="{event["verb"]}" user="{user.get("username") or "<none>"}" groups="{groups}" as="{as_user}" '
        f'asgroups="{as_groups}" user-agent="{event.get("userAgent", "")}" namespace="{namespace}" '
        f'uri="{event["requestURI"]}" response="{code}"'
    ).encode()
