"""Azure OpenAI: OpenAI's form under a deployment's path.

Source: Microsoft's "Azure OpenAI REST API reference" and its page on content filtering.

The chunk of ``prompt_filter_results`` that opens a stream (no choices) is passed on as it came, as Azure's own callers see it.
"""

from collections.abc import Mapping
from urllib.parse import quote

from gateway.core.errors import CONTENT_FILTERED, GatewayError
from gateway.core.upstream import HttpRequest, Target, UpstreamCall
from gateway.providers.failures import judge
from gateway.providers.openai import OpenAITranslator
from gateway.providers.places import segment
from gateway.wire import openai as wire
from gateway.wire.sse import MAX_EVENT_BYTES

_FILTERED = "content_filter"
"""``error.code`` of a prompt that Azure's content filter refused."""


class AzureTranslator(OpenAITranslator):
    """``Translator`` for Azure OpenAI. ``api_version`` goes into every query; a model is a deployment's name."""

    def __init__(self, api_version: str, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        super().__init__(max_event_bytes)
        self._query = f"?api-version={quote(api_version, safe='')}"

    def request(self, target: Target, call: UpstreamCall) -> HttpRequest:
        """OpenAI's body, with the deployment in the path and the key in a header of its own."""
        plain = super().request(target, call)
        path = f"/deployments/{segment(call.model)}/chat/completions{self._query}"
        key = ((b"api-key", target.api_key.encode()),) if target.api_key else ()
        return HttpRequest(path, (plain.headers[0], *key), plain.body)

    def failure(self, target: Target, status: int, headers: Mapping[bytes, bytes], body: bytes) -> GatewayError:
        """As OpenAI's, and ``content_filtered`` where the filter refused the prompt."""
        refusal = wire.read_refusal(body)
        kind = CONTENT_FILTERED if status == 400 and refusal.code == _FILTERED else None
        return judge(target, status, headers, body, message=refusal.message, param=refusal.param, kind=kind)
