"""Settings: where they come from, what is refused, and that the reference page is true."""

from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from server.config import Config, ConfigError, Secret, split_address, without_password
from server.config_checks import check_serving
from server.config_reference import field_docs, reference
from server.config_sources import OPTIONS, load, settings
from server.limits import RATES, Rate

ROOT = Path(__file__).parents[2]
SECRET = "0123456789abcdef0123456789abcdef"


def refusal(environ: dict[str, str], options: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        load(options, environ)
    line = str(refused.value)
    assert "\n" not in line
    return line


def toml(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "guildhall.toml"
    path.write_text(text)
    return {"config": str(path)}


# Where a value comes from.
def test_without_any_setting_the_defaults_of_the_contract_hold() -> None:
    config = load({}, {})

    assert (config.gateway.port, config.http.port) == (7350, 7351)
    assert (config.gateway.host, config.gateway.heartbeat_s) == ("127.0.0.1", 25.0)
    assert (config.gateway.message_bytes, config.gateway.outbound_bytes) == (16_384, 1_048_576)
    assert config.store.url == "sqlite:///data/guildhall.db"
    assert config.bus.url == "local:"
    assert not config.auth.dev


def test_an_option_beats_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    file = toml(tmp_path, "[gateway]\nport = 1\nheartbeat_s = 11\n[http]\nport = 2\n[log]\nlevel = 'error'\n")

    config = load({"gateway_port": "5", **file}, {"GUILDHALL_GATEWAY_PORT": "4", "GUILDHALL_HTTP_PORT": "3"})

    assert (config.gateway.port, config.http.port) == (5, 3)
    assert (config.gateway.heartbeat_s, config.log.level) == (11.0, "error")


def test_the_file_can_be_named_by_the_environment(tmp_path: Path) -> None:
    path = toml(tmp_path, "[node]\nname = 'n1'\n")["config"]

    assert load({}, {"GUILDHALL_CONFIG": path}).node.name == "n1"


@pytest.mark.parametrize(
    ("variable", "value", "setting", "found"),
    [
        ("GUILDHALL_STORE", "mysql://db/x", "store.url", "mysql://db/x"),
        ("GUILDHALL_BUS", "redis://cache", "bus.url", "redis://cache"),
        ("GUILDHALL_DEV", "1", "auth.dev", True),
        ("GUILDHALL_DEV", "yes", "auth.dev", True),
        ("GUILDHALL_DEV", "false", "auth.dev", False),
        ("GUILDHALL_LIMITS", "off", "limits.enabled", "off"),
        ("GUILDHALL_LEASE", "2.5", "node.lease_s", 2.5),
        ("GUILDHALL_NODE", "n-1", "node.name", "n-1"),
        ("GUILDHALL_LOG_LEVEL", "debug", "log.level", "debug"),
        ("GUILDHALL_GATEWAY_HEARTBEAT_S", "12", "gateway.heartbeat_s", 12.0),
        ("GUILDHALL_AUTH_ISSUER", "game", "auth.issuer", "game"),
        ("GUILDHALL_GATEWAY_ORIGINS", '["https://a.example"]', "gateway.origins", ["https://a.example"]),
    ],
)
def test_a_setting_is_reached_by_its_variable(variable: str, value: str, setting: str, found: object) -> None:
    section, name = setting.split(".")

    assert getattr(getattr(load({}, {variable: value}), section), name) == found


def test_host_sets_both_ports_and_the_longer_variable_wins_over_it() -> None:
    config = load({}, {"GUILDHALL_HOST": "0.0.0.0", "GUILDHALL_HTTP_HOST": "10.0.0.1"})

    assert (config.gateway.host, config.http.host) == ("0.0.0.0", "10.0.0.1")


def test_any_value_can_come_from_a_mounted_file(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.write_text("mysql://u:p@db/x\n")

    assert load({}, {"GUILDHALL_STORE_FILE": str(path)}).store.url == "mysql://u:p@db/x"


def test_a_rate_of_one_kind_is_set_without_losing_the_others(tmp_path: Path) -> None:
    file = toml(tmp_path, '[limits.session]\nkinds = {"mail.send" = {per_s = 1, burst = 2}}\n')
    environ = {"GUILDHALL_LIMITS_SESSION_REQUESTS_BURST": "5"}

    session = load(file, environ).limits.session

    assert session.kinds["mail.send"] == Rate(per_s=1, burst=2)
    assert session.kinds.keys() > RATES.keys()
    assert session.requests.burst == 5


def test_a_node_has_a_new_name_at_each_start() -> None:
    first, second = load({}, {}), load({}, {})

    assert first.node.name != second.node.name


def test_no_two_settings_share_a_variable() -> None:
    names = [setting.variable for setting in settings()]

    assert len(set(names)) == len(names)
    assert {name for option in OPTIONS for name in option.settings} <= {s.name for s in settings()}


# What is refused, and how it is told.
@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"GUILDHALL_GATEWAY_PROT": "1"}, ("GUILDHALL_GATEWAY_PROT", "GUILDHALL_GATEWAY_PORT?")),
        ({"GUILDHALL_COLOUR": "red"}, ("GUILDHALL_COLOUR", "docs/configuration.md")),
        ({"GUILDHALL_GATEWAY_PORT": "abc"}, ("GUILDHALL_GATEWAY_PORT", "whole number, 0 to 65535")),
        ({"GUILDHALL_GATEWAY_PORT": "70000"}, ("GUILDHALL_GATEWAY_PORT", "0 to 65535")),
        ({"GUILDHALL_LEASE": "nan"}, ("GUILDHALL_LEASE", "0.2 to 300")),
        ({"GUILDHALL_LIMITS": "maybe"}, ("GUILDHALL_LIMITS", "`on`")),
        ({"GUILDHALL_DEV": "maybe"}, ("GUILDHALL_DEV", "true or false")),
        ({"GUILDHALL_STORE": "postgres://x"}, ("GUILDHALL_STORE", "sqlite:///PATH")),
        ({"GUILDHALL_BUS": "kafka:"}, ("GUILDHALL_BUS", "local:")),
        ({"GUILDHALL_NODE": "a b"}, ("GUILDHALL_NODE", "1 to 64 letters")),
        ({"GUILDHALL_GATEWAY_ORIGINS": "https://x"}, ("GUILDHALL_GATEWAY_ORIGINS", "JSON")),
        ({"GUILDHALL_GATEWAY_ORIGINS": '["x/y"]'}, ("gateway.origins", "scheme://host")),
        ({"GUILDHALL_TLS_CERT": "c.pem"}, ("edge.tls_cert and edge.tls_key", "both or none")),
        ({"GUILDHALL_TLS_KEY": "k.pem"}, ("edge.tls_cert and edge.tls_key", "both or none")),
        ({"GUILDHALL_EDGE_TRUSTED_PROXIES": '["lb.example"]'}, ("edge.trusted_proxies", "lb.example", "networks")),
        ({"GUILDHALL_EDGE_TRUSTED_PROXIES": '["10.0.0.1/8"]'}, ("edge.trusted_proxies", "10.0.0.1/8", "networks")),
        ({"GUILDHALL_GATEWAY_PROXY_PROTOCOL": "on"}, ("gateway.proxy_protocol", "set edge.trusted_proxies")),
        ({"GUILDHALL_HTTP_PROXY_PROTOCOL": "on"}, ("http.proxy_protocol", "set edge.trusted_proxies")),
        ({"GUILDHALL_STORE_FILE": "/no/such"}, ("GUILDHALL_STORE_FILE", "/no/such")),
        ({"GUILDHALL_STORE": "sqlite:///x", "GUILDHALL_STORE_FILE": "/x"}, ("both set",)),
        ({"GUILDHALL_CONFIG": "/no/such.toml"}, ("GUILDHALL_CONFIG", "/no/such.toml")),
        ({"GUILDHALL_CONFIG_FILE": "/x"}, ("GUILDHALL_CONFIG_FILE is unknown",)),
    ],
)
def test_a_wrong_variable_is_named_with_what_is_allowed(environ: dict[str, str], told: tuple[str, ...]) -> None:
    line = refusal(environ)

    assert all(part in line for part in told), line


def test_a_key_in_place_of_its_path_is_refused_and_not_shown() -> None:
    line = refusal({"GUILDHALL_TLS_CERT": "c.pem", "GUILDHALL_TLS_KEY": "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQ\n"})

    assert "edge.tls_key is the text of a PEM file" in line
    assert "MC4CAQAwBQ" not in line


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[gateways]\nport = 1", ("gateways is unknown", "gateway?")),
        ("[gateway]\nprot = 1", ("gateway.prot is unknown", "port?")),
        ("[gateway]\nport = '1'", ("gateway.port", "whole number")),
        ("[gateway]\nport = -1", ("gateway.port", "0 to 65535")),
        ("gateway = 1", ("gateway is a section", "[gateway]")),
        ("gateway", ("not TOML",)),
        ("[[auth.keys]]\nkid = 'a'\nalg = 'HS256'\nsecret = 's'", ("secret_file",)),
        ("[[auth.keys]]\nkid = 'a'\nalg = 'none'\nsecret_file = 's'", ("auth.keys", "none")),
    ],
)
def test_a_wrong_file_is_named_with_its_key(tmp_path: Path, text: str, told: tuple[str, ...]) -> None:
    file = toml(tmp_path, text)

    line = refusal({}, file)

    assert line.startswith(file["config"])
    assert all(part in line for part in told), line


def test_a_wrong_option_is_named_as_it_was_typed() -> None:
    assert refusal({}, {"gateway_port": "x"}).startswith("option --gateway-port: ")


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "game.example", "::"])
@pytest.mark.parametrize("variable", ["GUILDHALL_GATEWAY_HOST", "GUILDHALL_HTTP_HOST"])
def test_development_sign_in_is_refused_off_loopback(variable: str, host: str) -> None:
    assert "auth.dev" in refusal({variable: host}, {"dev": "true"})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_development_sign_in_is_allowed_on_loopback(host: str) -> None:
    assert load({"dev": "true", "host": host}, {}).auth.dev


@pytest.mark.parametrize("address", ["0.0.0.0:7352", "10.1.2.3:0", "staff.example:1"])
def test_the_key_of_development_mode_is_refused_off_loopback(address: str) -> None:
    line = refusal({"GUILDHALL_AUTH_DEV": "true", "GUILDHALL_STAFF_ADDRESS": address})

    assert "http.staff_address" in line


@pytest.mark.parametrize(
    ("address", "parts"),
    [("127.0.0.1:7352", ("127.0.0.1", 7352)), ("[::1]:0", ("[::1]", 0)), ("staff.internal:1", ("staff.internal", 1))],
)
def test_the_staff_api_can_have_an_address_of_its_own(address: str, parts: tuple[str, int]) -> None:
    assert split_address(load({"staff_address": address}, {}).http.staff_address) == parts


@pytest.mark.parametrize(
    "address", ["7352", "localhost", ":7352", "h:123456", "h:99999", "a b:1", "http://h:1", "h:1/x"]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    assert "HOST:PORT" in refusal({}, {"staff_address": address}) or "65535" in refusal({}, {"staff_address": address})


def test_production_without_a_key_serves_nobody_and_says_how_to_go_on() -> None:
    with pytest.raises(ConfigError, match=r"auth\.keys.*--dev"):
        check_serving(load({}, {}))


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('[{"kid":"a","alg":"HS256"}]', "needs secret_file"),
        ('[{"kid":"a","alg":"RS256","secret_file":"x"}]', "needs public_key_file"),
        ('[{"kid":"a","alg":"HS256","public_key_file":"x"}]', "needs secret_file"),
        ('[{"kid":"a","alg":"HS256","secret":"x","secret_file":"x"}]', "both"),
        ('[{"kid":"a","alg":"HS256","secret":"x"},{"kid":"a","alg":"HS256","secret":"y"}]', "kid"),
        ('[{"kid":"a","alg":"HS256","secret":5}]', "`$[0].secret`"),
    ],
)
def test_a_key_has_what_its_algorithm_needs_and_nothing_else(keys: str, told: str) -> None:
    assert told in refusal({"GUILDHALL_AUTH_KEYS": keys})


def test_a_key_set_is_fetched_by_https_only() -> None:
    assert "https" in refusal({"GUILDHALL_AUTH_JWKS_URL": "http://keys.example/jwks"})


# Secrets.
def test_secrets_are_in_no_text_form_of_the_settings() -> None:
    config = load(
        {},
        {
            "GUILDHALL_AUTH_KEYS": f'[{{"kid":"a","alg":"HS256","secret":"{SECRET}"}}]',
            "GUILDHALL_STORE": "mysql://u:hunter2@db/x",
            "GUILDHALL_BUS": "redis://:hunter2@cache/0",
        },
    )

    assert config.auth.keys[0].secret is not None
    assert config.auth.keys[0].secret.reveal() == SECRET
    for text in (repr(config), str(config)):
        assert SECRET not in text
        assert "hunter2" not in text


def test_no_refusal_repeats_a_secret() -> None:
    secret = "hunter2"
    for environ in (
        {"GUILDHALL_STORE": f"postgres://u:{secret}@db"},
        {"GUILDHALL_AUTH_KEYS": f"[{{{secret}"},
        {"GUILDHALL_AUTH_KEYS": f'[{{"kid":"a","alg":"RS256","secret":"{secret}"}}]'},
        {"GUILDHALL_GATEWAY_PORT": secret},
    ):
        assert secret not in refusal(environ)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mysql://u:p@db:3306/x", "mysql://u:***@db:3306/x"),
        ("mysql://u:p@ss@db/x?password=p", "mysql://u:***@db/x?..."),
        ("redis://:p@cache/0", "redis://:***@cache/0"),
        ("local:", "local:"),
        ("sqlite:///data/x.db", "sqlite:///data/x.db"),
    ],
)
def test_a_url_is_logged_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


# The reference page.
def structs(struct: type[Struct] = Config) -> list[type[Struct]]:
    inner = [f.type for f in msgspec.structs.fields(struct) if isinstance(f.type, type)]
    nested = [found for kind in inner if issubclass(kind, Struct) for found in structs(kind)]
    return [struct, *nested]


def test_every_setting_says_what_it_does() -> None:
    for struct in structs()[1:]:
        documented = field_docs(struct)
        for field in msgspec.structs.fields(struct):
            nested = isinstance(field.type, type) and issubclass(field.type, Struct)
            assert nested or not documented or documented.get(field.name), f"{struct.__name__}.{field.name}"


def test_the_reference_lists_every_setting_and_option() -> None:
    page = reference()

    assert all(f"`{setting.name}` | `{setting.variable}`" in page for setting in settings())
    assert all(f"`{option.name}` | `{option.variable}`" in page for option in OPTIONS)


def test_the_committed_reference_is_fresh() -> None:
    committed = (ROOT / "docs" / "configuration.md").read_text()

    assert committed == reference(), "run: python -m server config-reference > docs/configuration.md"


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret("hunter2")

    assert "hunter2" not in f"{secret} {secret!r}"
    assert secret.reveal() == "hunter2"
