# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Calling a prompt as an application would: ``run`` (through the openai SDK) and ``render`` (no upstream call)."""

import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import httpx
import msgspec

from admin_cli import screen
from admin_cli.api import ApiError, trusts_proxies
from admin_cli.session import Session, verb

_VARIABLE = click.option(
    "--var", "pairs", multiple=True, metavar="NAME=VALUE", help="A variable; JSON if it reads as JSON, else text."
)
_FILE = click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A JSON object of variables; --var wins over it.",
)
_RETRIES = 0
"""A person sees the error and may try again; a script has its own policy. The gateway has retried already."""
_RENDER_TIMEOUT_S = 30.0
"""Rendering asks no provider: more than this and something is broken."""


def variables(pairs: tuple[str, ...], file: Path | None) -> dict[str, Any]:
    """The variables given on the command line. ``n=3`` is a number and ``n="3"`` a text, as in JSON; ``name=Ann`` is a text."""
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise click.UsageError(f"{file}: not a JSON object: {error}") from None
    for pair in pairs:
        name, found, text = pair.partition("=")
        if not found or not name:
            raise click.UsageError(f"--var {pair!r}: expected NAME=VALUE")
        values[name] = value_of(text)
    return values


def value_of(text: str) -> Any:
    """JSON if it is some, else the text itself."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _key(session: Session) -> str:
    key = session.environment.api_key
    if key is None:
        raise ApiError(
            "no API key of this gateway: set OPENAI_API_KEY (pg_...), or run from the folder that holds .promptgate/env.\n"
            "Make one with: promptgate key create"
        )
    return key


@click.command("run")
@click.argument("reference", metavar="NAME[@ALIAS|:VERSION]")
@click.argument("text", metavar="[USER TEXT]", required=False)
@_VARIABLE
@_FILE
@click.option("--model", help="Another model, if the version lets it be overridden.")
@verb
def run(
    session: Session, reference: str, text: str | None, pairs: tuple[str, ...], file: Path | None, model: str | None
) -> None:
    """Run a prompt and stream the answer to standard output."""
    import openai

    settings = session.environment
    body: dict[str, Any] = {"prompt": {"id": reference, "variables": variables(pairs, file)}}
    messages: Any = [{"role": "user", "content": text}] if text is not None else []
    client = openai.OpenAI(
        api_key=_key(session),
        base_url=settings.openai_base_url,
        max_retries=_RETRIES,
        http_client=openai.DefaultHttpxClient(trust_env=trusts_proxies(settings.openai_base_url)),
    )
    try:
        if session.json:
            answer = client.chat.completions.create(model=model or "", messages=messages, extra_body=body)
            screen.as_json(answer.model_dump(mode="json", exclude_unset=True))
            return
        ended = False
        with client.chat.completions.create(model=model or "", messages=messages, extra_body=body, stream=True) as stream:
            for chunk in stream:
                for choice in chunk.choices:
                    _write(choice.delta.content or "")
                    ended = ended or choice.finish_reason is not None
        _write("\n")
        if not ended:
            raise ApiError("the answer broke off: the stream ended without a finish reason")
    except openai.APIStatusError as error:
        raise ApiError(_message(error.body, str(error)), status=error.status_code, error=_body(error.body)) from None
    except openai.APIConnectionError as error:
        raise ApiError(f"cannot reach the gateway at {settings.openai_base_url}: {error.__cause__ or error}") from None
    except openai.APIError as error:
        _write("\n")
        raise ApiError(f"the answer broke off: {error.message}", error=_body(error.body)) from None
    finally:
        client.close()


@click.command("render")
@click.argument("reference", metavar="NAME[@ALIAS|:VERSION]")
@_VARIABLE
@_FILE
@verb
def render(session: Session, reference: str, pairs: tuple[str, ...], file: Path | None) -> None:
    """Show the messages a prompt becomes with these variables; no provider is asked."""
    base = session.environment.openai_base_url
    content = msgspec.json.encode({"variables": variables(pairs, file)})
    headers = {"authorization": f"Bearer {_key(session)}", "content-type": "application/json"}
    url = f"{base}/prompts/{quote(reference, safe='@:/')}/render"
    try:
        with httpx.Client(transport=session.transport, trust_env=trusts_proxies(base), timeout=_RENDER_TIMEOUT_S) as client:
            answer = client.post(url, content=content, headers=headers)
        document: Any = msgspec.json.decode(answer.content)
    except httpx.TransportError as error:
        raise ApiError(f"cannot reach the gateway at {base}: {error or type(error).__name__}") from None
    except msgspec.DecodeError:
        raise ApiError(f"{url} did not answer JSON: is this a promptgate gateway?") from None
    if not answer.is_success:
        error = document.get("error") if isinstance(document, dict) else None
        raise ApiError(_message(error, f"HTTP {answer.status_code}"), status=answer.status_code, error=_body(error))

    def people() -> None:
        for message in document["messages"]:
            content = message.get("content")
            screen.line(f"[{message['role']}]")
            screen.block(content if isinstance(content, str) else msgspec.json.encode(content).decode())

    session.show(document, people)


def _write(text: str) -> None:
    """Model output as it comes; on a terminal it is shown, never obeyed. A pipe gets it unchanged."""
    sys.stdout.write(screen.inert(text, keep="\n\t") if sys.stdout.isatty() else text)
    sys.stdout.flush()


def _body(error: object) -> dict[str, Any] | None:
    return error if isinstance(error, dict) else None


def _message(error: object, otherwise: str) -> str:
    return str(error.get("message", otherwise)) if isinstance(error, dict) else otherwise


COMMANDS = (run, render)
