# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Calling a prompt as an application would: ``run`` (through the openai SDK), ``render`` and ``explain`` (no upstream call)."""

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
"""Rendering and explaining ask no provider: more than this and something is broken."""


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
    path = f"prompts/{quote(reference, safe='@:/')}/render"
    document = _ask(session, path, {"variables": variables(pairs, file)})

    session.show(document, lambda: _messages(document["messages"]))


@click.command("explain")
@click.argument("reference", metavar="NAME[@ALIAS|:VERSION]|MODEL")
@click.argument("text", metavar="[USER TEXT]", required=False)
@_VARIABLE
@_FILE
@click.option("--tag", "tags", multiple=True, help="A tag of the call, as x-tags: routes and limits may go by it.")
@verb
def explain(
    session: Session, reference: str, text: str | None, pairs: tuple[str, ...], file: Path | None, tags: tuple[str, ...]
) -> None:
    """Show what would become of a call: version, messages, limits, guards, targets and price. No provider is asked."""
    messages = [{"role": "user", "content": text}] if text is not None else []
    given = variables(pairs, file)
    body = {"model": reference, "messages": messages, **({"variables": given} if given else {})}
    document = _ask(session, "explain", body, {"x-tags": ",".join(tags)} if tags else {})

    session.show(document, lambda: _explained(document))


def _explained(told: dict[str, Any]) -> None:
    resolved, rendered, route = told.get("resolve") or {}, told.get("render"), told.get("route")
    if resolved.get("prompt"):
        variant = f", variant {resolved['variant']}" if resolved.get("variant") else ""
        screen.line(f"prompt    {resolved['prompt']}{variant}")
    if resolved:
        screen.line(f"model     {resolved['model']} with {msgspec.json.encode(resolved['params']).decode()}")
    if rendered:
        _messages(rendered["messages"])
        screen.line(f"input     {rendered['input_tokens']} tokens")
    for rule in told["limits"].get("rules", []):
        fits = {True: "fits", False: "does not fit", None: "cannot be asked"}[rule.get("fits")]
        left = "unknown" if rule.get("remaining") is None else rule["remaining"]
        screen.line(f"limit     {rule['name']}: needs {rule['needs']}, {left} of {rule['limit']} left: {fits}")
    if told.get("guards"):
        guards = told["guards"]
        screen.line(f"guards    {guards['verdict']}{' by ' + guards['guard'] if guards.get('guard') else ''}")
    if told.get("recall"):
        screen.line(f"recall    {told['recall']['state']}")
    if route:
        costs = ("input_cost_usd", "max_cost_usd")
        rows = [[each["provider"], each["model"], *(_dollars(each.get(name)) for name in costs)] for each in route]
        screen.table(("PROVIDER", "MODEL", "INPUT COSTS", "AT MOST"), rows)
    refusal = told.get("error")
    if refusal is not None:
        screen.line(f"refused by {told['refused_by']} ({refusal['status']} {refusal['kind']}): {refusal['message']}")


def _dollars(amount: float | None) -> str | None:
    return None if amount is None else f"${amount:.9f}"


def _messages(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        content = message.get("content")
        screen.line(f"[{message['role']}]")
        screen.block(content if isinstance(content, str) else msgspec.json.encode(content).decode())


def _ask(session: Session, path: str, body: object, headers: dict[str, str] | None = None) -> Any:
    """What a route of the data plane answers to the environment's API key. Raises ``ApiError``."""
    base = session.environment.openai_base_url
    sent = {"authorization": f"Bearer {_key(session)}", "content-type": "application/json", **(headers or {})}
    url = f"{base}/{path}"
    try:
        with httpx.Client(transport=session.transport, trust_env=trusts_proxies(base), timeout=_RENDER_TIMEOUT_S) as client:
            answer = client.post(url, content=msgspec.json.encode(body), headers=sent)
        document: Any = msgspec.json.decode(answer.content)
    except httpx.TransportError as error:
        raise ApiError(f"cannot reach the gateway at {base}: {error or type(error).__name__}") from None
    except msgspec.DecodeError:
        raise ApiError(f"{url} did not answer JSON: is this a promptgate gateway?") from None
    if not answer.is_success:
        error = document.get("error") if isinstance(document, dict) else None
        raise ApiError(_message(error, f"HTTP {answer.status_code}"), status=answer.status_code, error=_body(error))
    return document


def _write(text: str) -> None:
    """Model output as it comes; on a terminal it is shown, never obeyed. A pipe gets it unchanged."""
    sys.stdout.write(screen.inert(text, keep="\n\t") if sys.stdout.isatty() else text)
    sys.stdout.flush()


def _body(error: object) -> dict[str, Any] | None:
    return error if isinstance(error, dict) else None


def _message(error: object, otherwise: str) -> str:
    return str(error.get("message", otherwise)) if isinstance(error, dict) else otherwise


COMMANDS = (run, render, explain)
