"""Settings that contradict each other, or with which nothing could work: what no single one can tell."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from server.config import Auth, Config, ConfigError, Key, split_address
from server.forwarded import Proxies
from server.origins import Origins


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine only. A name other than ``localhost`` is not looked up and
    is not."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check(config: Config) -> None:
    """Refuse settings that contradict each other.

    Raises:
        ConfigError: the first contradiction found.
    """
    _check_staff(config.http.staff_address)
    _check_dev(config)
    _check_origins(config.gateway.origins)
    _check_edge(config)
    _check_jwks(config.auth)
    if not config.limits.shedding.rising:
        raise ConfigError(
            "limits.shedding: connections_s, sign_ins_s, expensive_s and requests_s contradict each other; "
            "allowed: none below the one before it"
        )
    kids = [key.kid for key in config.auth.keys]
    if len(set(kids)) < len(kids):
        raise ConfigError("auth.keys: every key needs a kid of its own")
    for key in config.auth.keys:
        _check_key(key)


def check_serving(config: Config) -> None:
    """Refuse settings with which no player could ever sign in.

    Raises:
        ConfigError: neither development mode nor a key is set.
    """
    auth = config.auth
    if not (auth.dev or auth.keys or auth.jwks_url or auth.jwks_file):
        raise ConfigError(
            "no key to verify sign-in tokens: set auth.keys, auth.jwks_url or auth.jwks_file, e.g. "
            'GUILDHALL_AUTH_KEYS=\'[{"kid":"k1","alg":"HS256","secret_file":"/path"}]\', '
            "or use --dev on your own machine"
        )


def _check_staff(address: str) -> None:
    if address and split_address(address)[1] > 65535:
        raise ConfigError(f"http.staff_address: {address} has no such port; allowed: 0 to 65535")


def _check_dev(config: Config) -> None:
    if not config.auth.dev:
        return
    hosts = {"gateway.host": config.gateway.host, "http.host": config.http.host}
    if config.http.staff_address:
        hosts["http.staff_address"] = split_address(config.http.staff_address)[0]
    for name, host in hosts.items():
        if not is_loopback(host):
            raise ConfigError(
                f"auth.dev lets anyone sign in as anybody: it is refused while {name} is {host}; "
                "allowed: 127.0.0.1, localhost, ::1"
            )


def _check_origins(origins: list[str] | None) -> None:
    try:
        Origins(origins)
    except ValueError as error:
        raise ConfigError(f"gateway.origins: {error}") from None


def _check_edge(config: Config) -> None:
    edge = config.edge
    if (edge.tls_cert is None) != (edge.tls_key is None):
        raise ConfigError("edge.tls_cert and edge.tls_key belong together; allowed: both or none")
    for name, path in (("edge.tls_cert", edge.tls_cert), ("edge.tls_key", edge.tls_key)):
        if path is not None and "-----BEGIN" in path:
            raise ConfigError(f"{name} is the text of a PEM file; allowed: the file's path")
    try:
        Proxies(edge.trusted_proxies)
    except ValueError as error:
        raise ConfigError(f"edge.trusted_proxies: {error}; allowed: addresses and networks") from None
    for name, on in (("gateway", config.gateway.proxy_protocol), ("http", config.http.proxy_protocol)):
        if on and not edge.trusted_proxies:
            raise ConfigError(f"{name}.proxy_protocol is on and nobody may use it: set edge.trusted_proxies")


def _check_jwks(auth: Auth) -> None:
    if auth.jwks_url is None:
        return
    if auth.jwks_file is not None:
        raise ConfigError("auth.jwks_url and auth.jwks_file are both set; allowed: one of them")
    url = urlsplit(auth.jwks_url)
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.hostname or "")):
        raise ConfigError("auth.jwks_url must be an https: address (http: only on loopback)")


def _check_key(key: Key) -> None:
    given = {
        "secret": key.secret is not None,
        "secret_file": key.secret_file is not None,
        "public_key": key.public_key is not None,
        "public_key_file": key.public_key_file is not None,
        "private_key": key.private_key is not None,
        "private_key_file": key.private_key_file is not None,
    }
    names = [name for name, is_given in given.items() if is_given]
    own = "secret" if key.alg == "HS256" else "_key"
    if not names or not all(own in name for name in names):
        allowed = "secret_file" if key.alg == "HS256" else "public_key_file, private_key_file"
        raise ConfigError(f"auth.keys: key {key.kid} ({key.alg}) needs {allowed} and nothing else")
    for name in ("secret", "public_key", "private_key"):
        if given[name] and given[f"{name}_file"]:
            raise ConfigError(f"auth.keys: key {key.kid} has both {name} and {name}_file; allowed: one of them")
