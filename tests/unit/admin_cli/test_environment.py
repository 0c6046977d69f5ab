"""Where the commands find the gateway, and which key they may send to it."""

from pathlib import Path

import pytest

from admin_cli import environment

FILE = """# made by the gateway
export OPENAI_BASE_URL='http://127.0.0.1:9000/v1'
export OPENAI_API_KEY=pg_file
PROMPTGATE_URL="http://127.0.0.1:9000/"
export PROMPTGATE_ADMIN_TOKEN='it''s'
PROMPTGATE_DEMO_PROMPT=faq-bot   # a remark
not an assignment
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".promptgate").mkdir()
    (tmp_path / ".promptgate" / "env").write_text(FILE)
    return tmp_path


def test_the_file_of_the_folder_is_read(folder: Path):
    found = environment.load(folder, {})
    assert found.url == "http://127.0.0.1:9000"
    assert found.admin_token == "its"
    assert found.api_key == "pg_file"
    assert found.openai_base_url == "http://127.0.0.1:9000/v1"
    assert found.demo_prompt == "faq-bot"
    assert found.env_file_found


def test_the_process_environment_wins(folder: Path):
    found = environment.load(folder, {"PROMPTGATE_URL": "http://gw", "PROMPTGATE_ADMIN_TOKEN": "t", "OPENAI_API_KEY": "pg_env"})
    assert (found.url, found.admin_token, found.api_key, found.openai_base_url) == ("http://gw", "t", "pg_env", "http://gw/v1")


def test_an_empty_variable_does_not_hide_the_file(folder: Path):
    assert environment.load(folder, {"PROMPTGATE_ADMIN_TOKEN": ""}).admin_token == "its"


def test_a_foreign_key_is_never_sent_to_the_gateway(folder: Path):
    found = environment.load(folder, {"OPENAI_API_KEY": "sk-secret", "OPENAI_BASE_URL": "https://elsewhere/v1"})
    assert (found.api_key, found.openai_base_url) == ("pg_file", "http://127.0.0.1:9000/v1")


def test_without_anything_there_are_defaults(tmp_path: Path):
    found = environment.load(tmp_path, {"OPENAI_API_KEY": "sk-secret"})
    assert (found.url, found.admin_token, found.api_key, found.env_file_found) == (environment.DEFAULT_URL, None, None, False)
    assert found.openai_base_url == f"{environment.DEFAULT_URL}/v1"
