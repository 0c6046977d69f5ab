"""Settings: defaults, overrides, and errors that name the place and what is accepted."""

from pathlib import Path

import msgspec
import pytest

from gateway import settings as module
from gateway.settings import (
    OPENAI_API,
    Provider,
    Route,
    RouteTarget,
    Settings,
    SettingsError,
    effective_routes,
    load,
)
from gateway.settings_providers import has_responses

SHIPPED = Path(__file__).parents[2] / "config"


def config(folder: Path, gateway: str = "", providers: str = "") -> Path:
    home = folder / "config"
    home.mkdir(exist_ok=True)
    (home / "gateway.toml").write_text(gateway)
    (home / "providers.toml").write_text(providers)
    return home


def test_no_files_and_no_environment_mean_defaults_with_an_echo_provider(tmp_path: Path) -> None:
    settings = load(tmp_path / "config", {})
    assert (settings.server.port, settings.server.workers, settings.server.front) == (8080, 1, "protocol")
    assert settings.database.url == ""
    assert settings.limits.requests_per_minute is None
    assert settings.storage.directory == str(tmp_path / ".promptgate")
    assert settings.ledger.directory == str(tmp_path / ".promptgate" / "ledger")
    assert settings.providers["echo"].base_url == "echo:"


def test_the_shipped_files_are_valid_and_answer_by_echo() -> None:
    settings = load(SHIPPED, {})
    assert list(settings.providers) == ["echo", "openai"]
    assert effective_routes(settings)[-1] == Route(("*",), (RouteTarget("echo"),))


def test_every_commented_setting_in_the_shipped_file_exists_and_is_the_default(tmp_path: Path) -> None:
    text = "\n".join(
        line.removeprefix("# ") if line.startswith("# ") and " = " in line else line
        for line in (SHIPPED / "gateway.toml").read_text().splitlines()
    )
    uncommented = load(config(tmp_path, text), {})
    assert uncommented.limits.requests_per_minute == 600
    defaults = load(tmp_path / "config", {"PROMPTGATE_LIMITS_REQUESTS_PER_MINUTE": "600"})
    assert msgspec.to_builtins(uncommented) == msgspec.to_builtins(defaults)


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    home = config(
        tmp_path, "[server]\nport = 1000\nworkers = 3\n[limits]\nrequests_per_minute = 5\n[telemetry]\nserver_timing = true"
    )
    settings = load(
        home,
        {
            "PROMPTGATE_SERVER_PORT": "2000",
            "PROMPTGATE_LIMITS_REQUESTS_PER_MINUTE": "null",
            "PROMPTGATE_TELEMETRY_SERVER_TIMING": "false",
            "PROMPTGATE_DATABASE_URL": "postgresql://postgres@/x?host=/run/pg",
            "PROMPTGATE_REDIS_URL": "unix:///run/redis.sock",
            "PROMPTGATE_STORAGE_DIRECTORY": "/var/lib/promptgate",
            "PROMPTGATE_WORKERS": "",
        },
    )
    assert (settings.server.port, settings.server.workers) == (2000, 3)
    assert settings.limits.requests_per_minute is None
    assert settings.telemetry.server_timing is False
    assert settings.database.url.endswith("/run/pg")
    assert settings.ledger.directory == "/var/lib/promptgate/ledger"


def test_shorthands(tmp_path: Path) -> None:
    settings = load(tmp_path, {"PROMPTGATE_PORT": "81", "PROMPTGATE_WORKERS": "2"})
    assert (settings.server.port, settings.server.workers) == (81, 2)


def test_every_field_is_documented_and_has_an_override(tmp_path: Path) -> None:
    source = Path(module.__file__).read_text()
    (tmp_path / "kek").write_text("ab" * 32 + "\n")
    samples = {
        "url": {"database": "postgres://h/d", "redis": "redis://h"},
        "pepper": "p" * 32,
        "previous_pepper": "p" * 32,
        "credentials_key": "cd" * 32,
        "credentials_key_file": f"{tmp_path.name}/kek",
        "front": "asgi",
        "fsync": "group",
        "when_full": "account-only",
        "endpoint": "http://collector:4318",
        "headers": "a=b",
        "sample_ratio": "0.5",
        "plain_keys": "refuse",
    }
    beside = {"plain_keys": {"PROMPTGATE_SECURITY_PEPPER": "p" * 32}}
    for section, cls in module._SECTIONS.items():
        for field in msgspec.structs.fields(cls):
            after = source.split(f"class {cls.__name__}(", 1)[1].split(f"    {field.name}: ", 1)[1]
            assert after.split("\n", 2)[1].startswith('    """'), f"{section}.{field.name} has no docstring"
            sample = samples.get(field.name, "100000")
            value = sample[section] if isinstance(sample, dict) else sample
            value = {"log_level": "error", "log_format": "text", "server_timing": "false"}.get(field.name, value)
            value = {
                "port": "9",
                "workers": "9",
                "pool_size": "9",
                "max_bytes": "9999999",
                "idempotency_hours": "9",
                "retention_days": "9",
                "reservation_seconds": "9",
            }.get(field.name, value)
            if section == "resilience":
                value = {"breaker": "false"}.get(field.name, "77")
            given = {f"PROMPTGATE_{section.upper()}_{field.name.upper()}": value}
            settings = load(tmp_path, given | beside.get(field.name, {}))
            got = getattr(getattr(settings, section), field.name)
            assert str(got).lower().endswith(value), f"{section}.{field.name}"


@pytest.mark.parametrize(
    ("gateway", "message"),
    [
        (
            "[server]\nport = 'x'",
            r"gateway\.toml: \[server\] port: got a value of type str, expected an integer from 1 to 65535",
        ),
        ("[server]\nport = 0", r"\[server\] port: got a value of type int, expected an integer from 1 to 65535"),
        ("[server]\nport = true", r"\[server\] port: got a value of type bool"),
        ("[server]\nfront = 'wsgi'", r"\[server\] front: got a value of type str, expected one of asgi, protocol"),
        ("[server]\nprot = 1", r"\[server\]: key 'prot' is unknown; did you mean port\? Known: body_timeout_ms, "),
        ("[servers]\nport = 1", r"gateway\.toml: section 'servers' is unknown; did you mean server\?"),
        ("server = 3", r"\[server\]: got a value of type int, expected a table"),
        ("[traces]\nsample_ratio = 'x'", r"\[traces\] sample_ratio: got a value of type str, expected a number from 0 to 1"),
        ("[traces]\nsample_ratio = 1.1", r"\[traces\] sample_ratio: got a value of type float"),
        ("[traces]\nendpoint = 'http://user@host'", r"\[traces\] endpoint: got a value of type str, expected text matching"),
        ("[traces]\nheaders = 'authorization'", r"\[traces\] headers: got a value of type str, expected text matching"),
        ("[traces]\nheaders = 'a=b,,c=d'", r"\[traces\] headers: got a value of type str"),
        ("[telemetry]\nserver_timing = 'yes'", r"server_timing: got a value of type str, expected true or false"),
        ("[limits]\nrequests_per_minute = 'many'", r"expected an integer from 1 or null"),
        ("[redis]\nurl = 'localhost:6379'", r"\[redis\] url: got a value of type str, expected text matching .*redis"),
        ("[server\n", r"gateway\.toml: cannot be read: "),
    ],
)
def test_a_bad_file_is_an_error_that_names_file_key_and_what_is_accepted(tmp_path: Path, gateway: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(config(tmp_path, gateway), {})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "PROMPTGATE_SERVER_PORT",
            "eighty",
            "PROMPTGATE_SERVER_PORT: got a value of type str, expected an integer from 1 to 65535",
        ),
        (
            "PROMPTGATE_SERVER_PROT",
            "80",
            "environment variable 'PROMPTGATE_SERVER_PROT' is unknown; did you mean PROMPTGATE_SERVER_PORT",
        ),
        (
            "PROMPTGATE_PROVIDERS_MISTRAL_API_KEY",
            "x",
            r"PROMPTGATE_PROVIDERS_MISTRAL_API_KEY: no such provider .* there are: echo",
        ),
        ("PROMPTGATE_PROVIDERS_ECHO_BASE_URL", "http://h/v1", "base_url echo: goes with kind echo"),
        ("PROMPTGATE_PROVIDERS_ECHO_KIND", "openai", "'PROMPTGATE_PROVIDERS_ECHO_KIND' is unknown"),
    ],
)
def test_a_bad_variable_is_an_error_that_names_it(tmp_path: Path, name: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(tmp_path, {name: value})


def test_variables_meant_for_clients_are_not_settings(tmp_path: Path) -> None:
    names = ("PROMPTGATE_URL", "PROMPTGATE_ADMIN_TOKEN", "PROMPTGATE_DEMO_PROMPT", "PROMPTGATE_CONFIG", "PATH")
    assert load(tmp_path, dict.fromkeys(names, "x")) == load(tmp_path, {})


def test_an_error_never_repeats_a_secret(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as e:
        load(tmp_path, {"PROMPTGATE_SECURITY_ADMIN_TOKEN": "hush hush"})
    assert "hush" not in str(e.value)
    with pytest.raises(SettingsError) as e:
        load(tmp_path, {"PROMPTGATE_DATABASE_URL": "mysql://u:hush@h/d"})
    assert "hush" not in str(e.value)


def test_repr_shows_no_secret(tmp_path: Path) -> None:
    environ = {"PROMPTGATE_SECURITY_SECRET": "hush", "PROMPTGATE_DATABASE_URL": "postgres://u:hush@h/d"}
    environ["PROMPTGATE_PROVIDERS_OPENAI_API_KEY"] = "sk-hush"
    assert "hush" not in repr(load(SHIPPED, environ))


def test_provider_from_the_environment() -> None:
    settings = load(
        SHIPPED,
        {
            "PROMPTGATE_PROVIDERS_OPENAI_API_KEY": "sk-1",
            "PROMPTGATE_PROVIDERS_OPENAI_BASE_URL": "http://127.0.0.1:9/v1/",
            "OPENAI_API_KEY": "sk-2",
            "OPENAI_BASE_URL": "http://never/v1",
        },
    )
    assert settings.providers["openai"].api_key == "sk-1"
    assert settings.providers["openai"].base_url == "http://127.0.0.1:9/v1"


def test_a_bare_openai_key_counts_unless_it_is_ours() -> None:
    assert load(SHIPPED, {"OPENAI_API_KEY": "sk-2", "OPENAI_BASE_URL": "x"}).providers["openai"] == Provider(
        "openai", OPENAI_API, "sk-2"
    )
    assert load(SHIPPED, {"OPENAI_API_KEY": "pg_abc"}).providers["openai"].api_key == ""


def test_a_dash_in_a_provider_name_is_an_underscore_in_its_variable(tmp_path: Path) -> None:
    home = config(tmp_path, providers="[providers.my-llm]\nkind = 'openai'\nbase_url = 'http://h/v1'")
    assert load(home, {"PROMPTGATE_PROVIDERS_MY_LLM_API_KEY": "k"}).providers["my-llm"].api_key == "k"


@pytest.mark.parametrize(
    ("providers", "message"),
    [
        (
            "[providers.x]\nbase_url = 'http://h'",
            r"\[providers.x\]: kind is missing; expected one of anthropic, azure, bedrock, ",
        ),
        (
            "[providers.x]\nkind = 'openai'\nbase_url = 'h:80/v1'",
            r"\[providers.x\] base_url: got a value of type str, expected text matching",
        ),
        ("[providers.x]\nkind = 'openai'\nbase_url = 'http://u:p@h/v1'", "base_url"),
        ("[providers.X]\nkind = 'openai'", "a name is lower-case letters"),
        ("provider = 1", "key 'provider' is unknown; did you mean providers"),
        ("default_model = 1", "default_model: got a value of type int, expected text"),
        (
            "[[routes]]\nmodels = ['*']\ntargets = [{provider = 'ech'}]",
            r"number 1: provider 'ech' is unknown; did you mean echo",
        ),
        ("[[routes]]\nmodels = []\ntargets = [{provider = 'echo'}]", "at least one of models"),
        ("[[routes]]\nmodels = ['*']", "targets: got nothing, expected a list"),
        ("[[routes]]\nmodels = '*'\ntargets = []", "models: got a value of type str, expected a list"),
        ("[[routes]]\nmodel = ['*']\ntargets = []", "key 'model' is unknown; did you mean models"),
        ("routes = 1", r"\[\[routes\]\]: got a value of type int, expected a list"),
    ],
)
def test_bad_providers_are_errors(tmp_path: Path, providers: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(config(tmp_path, providers=providers), {})


def test_routes_of_the_file_come_first_then_the_first_configured_upstream(tmp_path: Path) -> None:
    text = """
        [providers.openai]
        kind = "openai"
        [providers.local]
        kind = "openai"
        base_url = "http://127.0.0.1:11434/v1"
        [[routes]]
        models = ["gpt-*"]
        targets = [{provider = "openai"}, {provider = "local", model = "llama3.1"}]
    """
    settings = load(config(tmp_path, providers=text), {})
    assert effective_routes(settings) == (
        Route(("gpt-*",), (RouteTarget("openai"), RouteTarget("local", "llama3.1"))),
        Route(("*",), (RouteTarget("local"),)),
    )
    with_key = load(tmp_path / "config", {"PROMPTGATE_PROVIDERS_OPENAI_API_KEY": "sk"})
    assert effective_routes(with_key)[-1].targets == (RouteTarget("openai"),)


def test_a_base_url_alone_configures_an_upstream() -> None:
    settings = load(SHIPPED, {"PROMPTGATE_PROVIDERS_OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
    assert effective_routes(settings)[-1] == Route(("*",), (RouteTarget("openai"),))


def test_without_any_provider_there_are_only_the_routes_of_the_file() -> None:
    assert effective_routes(Settings()) == ()


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        (Provider(kind="openai", base_url=OPENAI_API), True),
        (Provider(kind="openai", base_url="http://127.0.0.1:11434/v1"), False),
        (Provider(kind="openai", base_url="http://127.0.0.1:11434/v1", responses=True), True),
        (Provider(kind="openai", base_url=OPENAI_API, responses=False), False),
        (Provider(kind="vllm", base_url="http://127.0.0.1:8000/v1", responses=True), True),
        (Provider(kind="gemini", responses=True), False),
    ],
)
def test_only_openai_has_responses_unless_a_provider_says_so(provider: Provider, expected: bool):
    assert has_responses(provider) is expected


ROUTE = """
[providers.a]
kind = "openai"
base_url = "http://a/v1"
api_keys = ["k1", "k2"]
first_token_ms = 4000
[[routes]]
models = ["*"]
"""


def test_a_route_with_everything(tmp_path: Path) -> None:
    text = (
        ROUTE
        + """
strategy = "weighted"
placement = "prefer_local"
tags = ["batch"]
min_input_tokens = 10
max_input_tokens = 20
attempts = 4
hedge_after_ms = "p95"
queue_ms = 0
targets = [{ provider = "a", weight = 3, tier = 1, local = true, first_token_ms = 900, total_ms = 5000 }, { provider = "echo" }]
"""
    )
    settings = load(config(tmp_path, providers=text), {})
    (route,) = settings.routes
    assert (route.strategy, route.placement, route.tags, route.attempts) == ("weighted", "prefer_local", ("batch",), 4)
    assert (route.hedge_after_ms, route.queue_ms, route.min_input_tokens, route.max_input_tokens) == ("p95", 0, 10, 20)
    assert route.targets[0] == RouteTarget("a", weight=3, tier=1, local=True, first_token_ms=900, total_ms=5000)
    assert route.targets[1] == RouteTarget("echo")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "strategy = 'random'",
            r"number 1 strategy: got a value of type str, expected one of cheapest, least_latency, ordered",
        ),
        ("strategie = 'ordered'", r"number 1: key 'strategie' is unknown; did you mean strategy\?"),
        ("attempts = 9", r"attempts: got a value of type int, expected an integer from 1 to 8 or null"),
        ("hedge_after_ms = 'p50'", r"hedge_after_ms: got a value of type str, expected "),
        ("tags = 'batch'", r"tags: got a value of type str, expected a list or null"),
        ("placement = 'local_only'", r"placement is local_only, but no target is marked local = true"),
        ("min_input_tokens = 5\nmax_input_tokens = 4", r"max_input_tokens is below min_input_tokens"),
    ],
)
def test_a_faulty_route_is_refused_by_name(tmp_path: Path, line: str, message: str) -> None:
    text = f'{ROUTE}{line}\ntargets = [{{ provider = "a" }}]\n'
    with pytest.raises(SettingsError, match=message):
        load(config(tmp_path, providers=text), {})


def test_a_faulty_target_is_refused_by_name(tmp_path: Path) -> None:
    for target, message in (
        ("weight = -1", "targets weight: got a value of type int"),
        ("tear = 1", "did you mean tier"),
        ("first_token_ms = 0", "first_token_ms"),
    ):
        with pytest.raises(SettingsError, match=message):
            load(config(tmp_path, providers=f'{ROUTE}targets = [{{ provider = "a", {target} }}]'), {})


def test_several_keys_come_from_the_file_or_the_environment(tmp_path: Path) -> None:
    home = config(tmp_path, providers=f'{ROUTE}targets = [{{ provider = "a" }}]')
    assert load(home, {}).providers["a"].api_keys == ("k1", "k2")
    assert load(home, {"PROMPTGATE_PROVIDERS_A_API_KEYS": "x, y,z"}).providers["a"].api_keys == ("x", "y", "z")
    with pytest.raises(SettingsError, match="api_keys has an empty entry"):
        load(home, {"PROMPTGATE_PROVIDERS_A_API_KEYS": "x,,z"})
    with pytest.raises(SettingsError, match="PROMPTGATE_PROVIDERS_A_API_KEYS") as caught:
        load(home, {"PROMPTGATE_PROVIDERS_A_API_KEYS": "se cret"})
    assert "cret" not in str(caught.value)
    with pytest.raises(SettingsError, match="no such provider"):
        load(home, {"PROMPTGATE_PROVIDERS_B_API_KEYS": "x"})


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://a:6379",
        "rediss+cluster://me:p%40w@a:6379,b.example,[::1]:6380?ssl_ca_certs=/etc/ca.pem",
    ],
)
def test_the_nodes_of_a_cluster_are_a_redis_url(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, {"PROMPTGATE_REDIS_URL": url}).redis.url == url


@pytest.mark.parametrize(
    "url", ["redis+cluster://", "redis+cluster://a,,b", "redis+cluster://a/1", "unix+cluster:///x", "http://a"]
)
def test_what_is_no_redis_url_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match="PROMPTGATE_REDIS_URL: got a value of type str, expected text matching"):
        load(tmp_path, {"PROMPTGATE_REDIS_URL": url})


KEY = "0123456789abcdef" * 4


def test_keys_for_credentials_come_from_the_environment_or_a_file(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (tmp_path / "kek").write_text(f"{KEY}\n{'A' * 43}=\n")
    named = {"PROMPTGATE_SECURITY_CREDENTIALS_KEY_FILE": "kek"}
    assert load(config, named).security.credentials_key == f"{KEY},{'A' * 43}="
    assert load(config, {"PROMPTGATE_SECURITY_CREDENTIALS_KEY": KEY}).security.credentials_key == KEY
    with pytest.raises(SettingsError, match="are both given; give one"):
        load(config, {**named, "PROMPTGATE_SECURITY_CREDENTIALS_KEY": KEY})
    with pytest.raises(SettingsError, match=r"security\.credentials_key_file: .*nowhere cannot be read"):
        load(config, {"PROMPTGATE_SECURITY_CREDENTIALS_KEY_FILE": "nowhere"})


@pytest.mark.parametrize("text", ["too-short", KEY + "0", f"{KEY},", f"{KEY};{KEY}", "A" * 42])
def test_what_is_no_key_for_credentials_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    (tmp_path / "kek").write_text(text)
    for name, value in (("KEY", text), ("KEY_FILE", str(tmp_path / "kek"))):
        with pytest.raises(SettingsError, match="expected text matching") as caught:
            load(tmp_path, {f"PROMPTGATE_SECURITY_CREDENTIALS_{name}": value})
        assert text not in str(caught.value)


def test_plain_keys_are_refused_only_with_a_pepper(tmp_path: Path) -> None:
    refuse = {"PROMPTGATE_SECURITY_PLAIN_KEYS": "refuse"}
    assert load(tmp_path, {}).security.plain_keys == "accept"
    for pepper in ({}, {"PROMPTGATE_SECURITY_PREVIOUS_PEPPER": "p" * 32}):
        with pytest.raises(SettingsError, match=r"^security\.plain_keys: refuse asks for security\.pepper"):
            load(tmp_path, refuse | pepper)
    assert load(tmp_path, refuse | {"PROMPTGATE_SECURITY_PEPPER": "p" * 32}).security.plain_keys == "refuse"
