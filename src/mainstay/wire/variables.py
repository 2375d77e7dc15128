"""Which variables of a machine its jobs may have: named once, for runners and for what starts runners."""

from collections.abc import Iterable, Mapping
from typing import Final

PASSED: Final = (
    "LANG",
    "LANGUAGE",
    "TZ",
    "PYENV_ROOT",
    # How this machine reaches the network and its package registries.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "PIP_CERT",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_TRUSTED_HOST",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_DISABLE_PIP_VERSION_CHECK",
    "UV_INDEX",
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_NATIVE_TLS",
    "UV_SYSTEM_CERTS",
    "UV_INSECURE_HOST",
    "UV_PYTHON_INSTALL_MIRROR",
    "UV_HTTP_TIMEOUT",
    "UV_OFFLINE",
)
"""Passed on as they are, where they are set. LC_* as well."""
ENGINE: Final = (
    "XDG_RUNTIME_DIR",
    "XDG_DATA_HOME",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
    "CONTAINER_HOST",
    "CONTAINERS_CONF",
    "CONTAINERS_STORAGE_CONF",
    "REGISTRY_AUTH_FILE",
)
"""How podman and docker are reached: for runners, never for their jobs."""
NAMES_FROM: Final = "MAINSTAY_RUNNER_PASS"
"""Names of more variables to pass on, between commas."""


def passed(environ: Mapping[str, str], more: Iterable[str] = ()) -> dict[str, str]:
    """Those that jobs get, of the environment of a runner; and those named in `more`."""
    names = {*PASSED, *more, *(name.strip() for name in environ.get(NAMES_FROM, "").split(","))}
    return {name: value for name, value in environ.items() if name in names or name.startswith("LC_")}
