"""From flags to configurations."""

import pytest

from tiphys.apiserver.audit.config import AuditConfig
from tiphys.apiserver.config import ApiServerConfig, SecurityConfig, StorageConfig
from tiphys.apiserver.flags import FLAGS, FlagError, Settings, parse

CONFIGS = {"server": ApiServerConfig, "security": SecurityConfig, "storage": StorageConfig, "audit": AuditConfig}


@pytest.mark.parametrize("flag", FLAGS.values(), ids=FLAGS)
def test_each_flag_sets_a_field_that_is_there(flag) -> None:
    assert flag.field in CONFIGS[flag.part].__dataclass_fields__


def test_values_are_read_and_the_last_one_counts() -> None:
    found = parse(["--secure-port=1", "secure-port=2", "--anonymous-auth", "--request-timeout", "1m30s"], Settings())
    assert (found.server.port, found.security.anonymous, found.server.request_timeout_seconds) == (2, True, 90.0)
    assert parse(["service-node-port-range=100+20"], Settings()).server.node_ports == (100, 120)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--secure-pot=1", 'unknown flag: --secure-pot; did you mean "--secure-port"?'),
        ("--secure-port", "flag needs an argument: --secure-port"),
        ("--secure-port=x", "--secure-port=x: a whole number is expected"),
        ("--anonymous-auth=maybe", "--anonymous-auth=maybe: true or false is expected"),
        ("--service-node-port-range=9-3", "a range of ports such as 30000-32767 is expected"),
        ("--request-timeout=soon", "a duration such as 1m30s is expected"),
    ],
)
def test_what_cannot_be_is_named(argument: str, message: str) -> None:
    with pytest.raises(FlagError) as caught:
        parse([argument], Settings())
    assert message in str(caught.value)
