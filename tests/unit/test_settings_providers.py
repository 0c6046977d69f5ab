"""Upstream accounts: what each kind needs, where it is, and where its credentials come from."""

from pathlib import Path
from typing import Any

import pytest

from gateway.providers.registry import own_translator, translators
from gateway.settings import Provider, Settings, SettingsError, effective_routes, is_configured, load
from gateway.settings_providers import PROVIDER_KEYS

EVERY = """
[providers.gemini]
kind = "gemini"
[providers.mistral]
kind = "mistral"
[providers.cohere]
kind = "cohere"
[providers.azure]
kind = "azure"
base_url = "https://mine.openai.azure.com/openai/"
api_version = "2024-10-21"
[providers.bedrock]
kind = "bedrock"
region = "eu-west-1"
[providers.ollama]
kind = "ollama"
[providers.local]
kind = "vllm"
base_url = "http://gpu:8000/v1"
"""


def write(folder: Path, text: str) -> Path:
    home = folder / "config"
    home.mkdir(exist_ok=True)
    (home / "providers.toml").write_text(text)
    return home


def given(folder: Path, text: str, **environ: str) -> Settings:
    return load(write(folder, text), environ)


def test_each_kind_is_where_it_is_by_itself(tmp_path: Path) -> None:
    providers = given(tmp_path, EVERY).providers
    assert {name: provider.base_url for name, provider in providers.items()} == {
        "echo": "echo:",
        "gemini": "https://generativelanguage.googleapis.com/v1beta",
        "mistral": "https://api.mistral.ai/v1",
        "cohere": "https://api.cohere.com/v2",
        "azure": "https://mine.openai.azure.com/openai",
        "bedrock": "https://bedrock-runtime.eu-west-1.amazonaws.com",
        "ollama": "http://127.0.0.1:11434/v1",
        "local": "http://gpu:8000/v1",
    }
    assert [name for name, provider in providers.items() if is_configured(provider)] == ["ollama", "local"]


def test_every_kind_has_a_translator(tmp_path: Path) -> None:
    shared = translators(1000, lambda: 0)
    for provider in given(tmp_path, EVERY).providers.values():
        own = own_translator(provider, 1000, lambda: 0, lambda: "id")
        assert (own is None) == (provider.kind in shared)
        translator = own or shared[provider.kind]
        assert "chat" in translator.speaks
        assert translator.stream_type


@pytest.mark.parametrize(
    ("provider", "key", "variable"),
    [
        ("gemini", "api_key", "GEMINI_API_KEY"),
        ("mistral", "api_key", "MISTRAL_API_KEY"),
        ("cohere", "api_key", "COHERE_API_KEY"),
        ("cohere", "api_key", "CO_API_KEY"),
        ("azure", "api_key", "AZURE_OPENAI_API_KEY"),
        ("bedrock", "api_key", "AWS_BEARER_TOKEN_BEDROCK"),
    ],
)
def test_the_vendors_own_variables(tmp_path: Path, provider: str, key: str, variable: str) -> None:
    settings = given(tmp_path, EVERY, **{variable: "k1"})
    assert getattr(settings.providers[provider], key) == "k1"
    assert is_configured(settings.providers[provider])
    assert effective_routes(settings)[-1].targets[0].provider == provider
    ours = {f"PROMPTGATE_PROVIDERS_{provider.upper()}_API_KEY": "k2", variable: "k1"}
    assert given(tmp_path, EVERY, **ours).providers[provider].api_key == "k2"
    assert given(tmp_path, EVERY, **{variable: "pg_ours"}).providers[provider].api_key == ""


def test_access_keys_of_aws(tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t", "AWS_REGION": "us-west-2"}
    got = given(tmp_path, "[providers.b]\nkind = 'bedrock'", **keys).providers["b"]
    assert (got.access_key_id, got.secret_access_key, got.session_token, got.region) == ("id", "s", "t", "us-west-2")
    assert got.base_url == "https://bedrock-runtime.us-west-2.amazonaws.com"
    assert is_configured(got)
    default = given(tmp_path, "[providers.b]\nkind = 'bedrock'", AWS_DEFAULT_REGION="eu-west-3").providers["b"]
    assert default.region == "eu-west-3"


def test_an_account_with_keys_of_its_own_borrows_none(tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t", "AWS_BEARER_TOKEN_BEDROCK": "b"}
    own = {"PROMPTGATE_PROVIDERS_BEDROCK_ACCESS_KEY_ID": "mine", "PROMPTGATE_PROVIDERS_BEDROCK_SECRET_ACCESS_KEY": "m"}
    got = given(tmp_path, EVERY, **keys, **own).providers["bedrock"]
    assert (got.access_key_id, got.secret_access_key, got.session_token, got.api_key) == ("mine", "m", "", "")


def test_a_key_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "gemini").write_text("  key-1\n")
    text = "[providers.gemini]\nkind = 'gemini'\napi_key_file = 'secrets/gemini'"
    assert given(tmp_path, text, GEMINI_API_KEY="other").providers["gemini"].api_key == "key-1"
    (tmp_path / "secrets" / "gemini").write_text("key-2")
    assert load(tmp_path / "config", {}).providers["gemini"].api_key == "key-2"
    assert given(tmp_path, text, PROMPTGATE_PROVIDERS_GEMINI_API_KEY="key-3").providers["gemini"].api_key == "key-3"


def test_a_key_file_named_by_the_environment(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("key-1")
    text = "[providers.mistral]\nkind = 'mistral'\napi_key = 'from-the-file'"
    got = given(tmp_path, text, PROMPTGATE_PROVIDERS_MISTRAL_API_KEY_FILE=str(tmp_path / "k"))
    assert got.providers["mistral"].api_key == "key-1"


@pytest.mark.parametrize("content", ["", "\n", "two words", "line\nline", "k\u00e4y", "x" * 20_000])
def test_a_file_without_a_key_is_an_error_that_does_not_repeat_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "k").write_text(content)
    with pytest.raises(SettingsError, match=r"api_key_file: .*holds no key") as caught:
        given(tmp_path, "[providers.g]\nkind = 'gemini'\napi_key_file = 'k'")
    assert not content.strip() or content.strip() not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "environ", "message"),
    [
        ("kind = 'azure'\napi_version = 'x'", {}, r"\[providers.x\]: base_url is missing; a provider of kind azure needs it"),
        ("kind = 'azure'\nbase_url = 'https://h'", {}, "api_version is missing"),
        ("kind = 'bedrock'", {}, "region is missing"),
        ("kind = 'vllm'", {}, "base_url is missing"),
        ("kind = 'tgi'", {}, "base_url is missing"),
        ("kind = 'gemini'\nregion = 'eu'", {}, "region goes with kind bedrock"),
        ("kind = 'openai'\napi_version = '1'", {}, "api_version goes with kind azure"),
        ("kind = 'bedrock'\nregion = 'e'\naccess_key_id = 'a'", {}, "access_key_id and secret_access_key go together"),
        ("kind = 'bedrock'\nregion = 'a.b/c'", {}, "region: got a value of type str, expected text matching"),
        ("kind = 'gemini'\napi_key = 'a'\napi_key_file = 'b'", {}, "api_key and api_key_file are both given"),
        ("kind = 'gemini'\napi_key_file = 'nowhere'", {}, "api_key_file: .*nowhere cannot be read: No such file"),
        (
            "kind = 'gemeni'",
            {},
            r"kind: got a value of type str, expected one of anthropic, azure, bedrock, cohere, echo, gemini",
        ),
        ("kind = 'gemini'\nbase_url = 'echo:'", {}, "base_url echo: goes with kind echo"),
        (
            "kind = 'gemini'",
            {"PROMPTGATE_PROVIDERS_X_API_KEY": "a", "PROMPTGATE_PROVIDERS_X_API_KEY_FILE": "b"},
            "PROMPTGATE_PROVIDERS_X_API_KEY and PROMPTGATE_PROVIDERS_X_API_KEY_FILE are both set",
        ),
        (
            "kind = 'gemini'",
            {"PROMPTGATE_PROVIDERS_Y_REGION": "a"},
            "PROMPTGATE_PROVIDERS_Y_REGION: no such provider in providers.toml",
        ),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_it(tmp_path: Path, text: str, environ: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        given(tmp_path, f"[providers.x]\n{text}", **environ)


@pytest.mark.parametrize("key", PROVIDER_KEYS)
def test_every_key_of_an_account_has_a_variable(tmp_path: Path, key: str) -> None:
    kinds = {"api_version": "azure", "api_key": "gemini", "api_key_file": "gemini", "base_url": "gemini"}
    samples: dict[str, Any] = {"base_url": "http://h/v1", "api_key_file": str(tmp_path / "k"), "api_version": "v2"}
    (tmp_path / "k").write_text("key")
    text = {
        "azure": "kind = 'azure'\nbase_url = 'http://h'\napi_version = 'v1'",
        "gemini": "kind = 'gemini'",
        "bedrock": "kind = 'bedrock'\nregion = 'r'\naccess_key_id = 'a'\nsecret_access_key = 's'",
    }[kinds.get(key, "bedrock")]
    value = samples.get(key, "sample")
    got = given(tmp_path, f"[providers.a-b]\n{text}", **{f"PROMPTGATE_PROVIDERS_A_B_{key.upper()}": value})
    assert getattr(got.providers["a-b"], key) == ((value,) if key == "api_keys" else value)


def test_a_proxy_of_a_vendor_needs_no_key(tmp_path: Path) -> None:
    text = "[providers.g]\nkind = 'gemini'\nbase_url = 'http://proxy/gemini'"
    assert is_configured(given(tmp_path, text).providers["g"])


def test_the_shipped_examples_are_valid(tmp_path: Path) -> None:
    shipped = (Path(__file__).parents[2] / "config" / "providers.toml").read_text()
    lines = shipped.partition("# [providers.local]")[2].partition("[[routes]]")[0].splitlines()
    text = "\n".join(
        [
            line.removeprefix("# ")
            for line in ["# [providers.local]", *lines]
            if line.startswith(("# [", "# ")) and ("=" in line or "[" in line)
        ]
    )
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "gemini").write_text("key")
    providers = given(tmp_path, text).providers
    assert {"local", "gemini", "mistral", "cohere", "azure", "bedrock"} <= set(providers)
    assert isinstance(providers["azure"], Provider)


def test_anthropics_own_variable_is_for_the_provider_of_that_name(tmp_path: Path) -> None:
    text = "[providers.anthropic]\nkind = 'anthropic'\n[providers.proxy]\nkind = 'anthropic'\nbase_url = 'http://h/v1'"
    got = given(tmp_path, text, ANTHROPIC_API_KEY="sk-ant").providers
    assert (got["anthropic"].base_url, got["anthropic"].api_key) == ("https://api.anthropic.com/v1", "sk-ant")
    assert (got["proxy"].base_url, got["proxy"].api_key) == ("http://h/v1", "")
    assert is_configured(got["anthropic"])
    assert is_configured(got["proxy"])
    ours = given(tmp_path, text, ANTHROPIC_API_KEY="pg_ours").providers["anthropic"]
    assert ours.api_key == ""
    assert not is_configured(ours)
