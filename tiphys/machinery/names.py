"""Forms of names: each validator returns Kubernetes' messages, none if the name is good.

Source: apimachinery, package util/validation, by behaviour.
"""

import ipaddress
import re
from typing import Final

DNS1123_LABEL_MAX: Final = 63
DNS1123_SUBDOMAIN_MAX: Final = 253
DNS1035_LABEL_MAX: Final = 63
LABEL_VALUE_MAX: Final = 63
QUALIFIED_NAME_MAX: Final = 63

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_DNS1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE: Final = f"({_QUALIFIED})?"
_CONFIG_MAP_KEY: Final = "[-._a-zA-Z0-9]+"
_ENV_VAR: Final = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_C_IDENTIFIER: Final = "[A-Za-z_][A-Za-z0-9_]*"
_PERCENT: Final = "[0-9]+%"
_HEADER: Final = "[-A-Za-z0-9]+"

_label = re.compile(_LABEL).fullmatch
_subdomain = re.compile(_SUBDOMAIN).fullmatch
_wildcard = re.compile(rf"\*\.{_SUBDOMAIN}").fullmatch
_dns1035 = re.compile(_DNS1035).fullmatch
_qualified = re.compile(_QUALIFIED).fullmatch
_label_value = re.compile(_LABEL_VALUE).fullmatch
_config_map_key = re.compile(_CONFIG_MAP_KEY).fullmatch
_env_var = re.compile(_ENV_VAR).fullmatch
_c_identifier = re.compile(_C_IDENTIFIER).fullmatch
_percent = re.compile(_PERCENT).fullmatch
_header = re.compile(_HEADER).fullmatch

_LABEL_TEXT: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_TEXT: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_WILDCARD_TEXT: Final = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, "
    "which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
)
_DNS1035_TEXT: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character"
)
_QUALIFIED_TEXT: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_LABEL_VALUE_TEXT: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character"
)
_ENV_VAR_TEXT: Final = (
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', "
    "and must not start with a digit"
)
_RELAXED_ENV_VAR_TEXT: Final = (
    "a valid environment variable name must consist only of printable ASCII characters other than '='"
)


def _size(value: str) -> int:
    """Kubernetes counts bytes."""
    return len(value) if value.isascii() else len(value.encode())


def max_length(length: int) -> str:
    return f"must be no more than {length} bytes"


def regex_error(message: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{example}', " for example in examples)
    if not examples:
        return f"{message} (regex used for validation is '{pattern}')"
    return f"{message} (e.g. {shown}regex used for validation is '{pattern}')"


def inclusive_range(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


def dns1123_label(value: str) -> list[str]:
    found = []
    if _size(value) > DNS1123_LABEL_MAX:
        found.append(max_length(DNS1123_LABEL_MAX))
    if not _label(value):
        if _subdomain(value):
            # The only fault is a dot.
            found.append("must not contain dots")
        else:
            found.append(regex_error(_LABEL_TEXT, _LABEL, "my-name", "123-abc"))
    return found


def dns1123_subdomain(value: str) -> list[str]:
    found = []
    if _size(value) > DNS1123_SUBDOMAIN_MAX:
        found.append(max_length(DNS1123_SUBDOMAIN_MAX))
    if not _subdomain(value):
        found.append(regex_error(_SUBDOMAIN_TEXT, _SUBDOMAIN, "example.com"))
    return found


def wildcard_dns1123_subdomain(value: str) -> list[str]:
    found = []
    if _size(value) > DNS1123_SUBDOMAIN_MAX:
        found.append(max_length(DNS1123_SUBDOMAIN_MAX))
    if not _wildcard(value):
        found.append(regex_error(_WILDCARD_TEXT, rf"\*\.{_SUBDOMAIN}", "*.example.com"))
    return found


def dns1035_label(value: str) -> list[str]:
    found = []
    if _size(value) > DNS1035_LABEL_MAX:
        found.append(max_length(DNS1035_LABEL_MAX))
    if not _dns1035(value):
        found.append(regex_error(_DNS1035_TEXT, _DNS1035, "my-name", "abc-123"))
    return found


def qualified_name(value: str) -> list[str]:
    """Label and annotation keys, resource names: ``[prefix/]name``."""
    examples = ("MyName", "my.name", "123-abc")
    parts = value.split("/")
    found = []
    if len(parts) == 2:
        prefix, name = parts
        if not prefix:
            found.append("prefix part " + "must be non-empty")
        else:
            found += ["prefix part " + message for message in dns1123_subdomain(prefix)]
    elif len(parts) == 1:
        name = value
    else:
        return [
            "a qualified name "
            + regex_error(_QUALIFIED_TEXT, _QUALIFIED, *examples)
            + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    if not name:
        found.append("name part " + "must be non-empty")
    elif _size(name) > QUALIFIED_NAME_MAX:
        found.append("name part " + max_length(QUALIFIED_NAME_MAX))
    if not _qualified(name):
        found.append("name part " + regex_error(_QUALIFIED_TEXT, _QUALIFIED, *examples))
    return found


def label_value(value: str) -> list[str]:
    found = []
    if _size(value) > LABEL_VALUE_MAX:
        found.append(max_length(LABEL_VALUE_MAX))
    if not _label_value(value):
        found.append(regex_error(_LABEL_VALUE_TEXT, _LABEL_VALUE, "MyValue", "my_value", "12345"))
    return found


def path_segment(value: str) -> list[str]:
    """Names that only have to be safe in a URL path (RBAC objects and others)."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in value]


def config_map_key(value: str) -> list[str]:
    found = []
    if _size(value) > DNS1123_SUBDOMAIN_MAX:
        found.append(max_length(DNS1123_SUBDOMAIN_MAX))
    if not _config_map_key(value):
        text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        found.append(regex_error(text, _CONFIG_MAP_KEY, "key.name", "KEY_NAME", "key-name"))
    return found + _dots(value)


def _dots(value: str) -> list[str]:
    if value in (".", ".."):
        return [f"must not be '{value}'"]
    return ["must not start with '..'"] if value.startswith("..") else []


def env_var_name(value: str) -> list[str]:
    """The strict form."""
    found = []
    if not _env_var(value):
        found.append(regex_error(_ENV_VAR_TEXT, _ENV_VAR, "my.env-name", "MY_ENV.NAME", "MyEnvName1"))
    return found + _dots(value)


def relaxed_env_var_name(value: str) -> list[str]:
    """Printable ASCII but ``=``; what Pods may use since 1.34."""
    if not value:
        return ["environment variable name" + " must be non-empty"]
    if any(not " " <= char <= "~" or char == "=" for char in value):
        return [_RELAXED_ENV_VAR_TEXT]
    return []


def c_identifier(value: str) -> list[str]:
    if _c_identifier(value):
        return []
    text = (
        "a valid C identifier must start with alphabetic character or '_', "
        "followed by a string of alphanumeric characters or '_'"
    )
    return [regex_error(text, _C_IDENTIFIER, "my_name", "MY_NAME", "MyName")]


def port_number(port: int) -> list[str]:
    return [] if 1 <= port <= 65535 else [inclusive_range(1, 65535)]


def port_name(value: str) -> list[str]:
    """IANA service names."""
    found = []
    if _size(value) > 15:
        found.append(max_length(15))
    if not re.fullmatch("[-a-z0-9]+", value):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        found.append("must contain at least one letter (a-z)")
    if "--" in value:
        found.append("must not contain consecutive hyphens")
    if value and ("-" in (value[0], value[-1])):
        found.append("must not begin or end with a hyphen")
    return found


def http_header_name(value: str) -> list[str]:
    if _header(value):
        return []
    text = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [regex_error(text, _HEADER, "X-Header-Name")]


def percent(value: str) -> list[str]:
    text = "a valid percent string must be a numeric string followed by an ending '%'"
    return [] if _percent(value) else [regex_error(text, _PERCENT, "1%", "93%")]


def mask_trailing_dash(value: str) -> str:
    """A ``generateName`` prefix as the name validators may see it: its dash will not stand at the end."""
    return value[:-2] + "a" if len(value) > 1 and value.endswith("-") else value


def ip_address(value: str) -> list[str]:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return [] if "%" not in value else ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]


def cidr(value: str) -> list[str]:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]
    return [] if "/" in value else ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]


def user_id(value: int) -> list[str]:
    return [] if 0 <= value <= 2**31 - 1 else [inclusive_range(0, 2**31 - 1)]


group_id = user_id
