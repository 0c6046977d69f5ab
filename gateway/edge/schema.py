"""The data plane's routes as OpenAPI: they are answered before any framework, and documented beside the admin API."""

from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    PathItem,
    RequestBody,
    Schema,
)

_TAG = "serving"
_ANY = Schema(type=OpenAPIType.OBJECT)
_TEXT = Schema(type=OpenAPIType.STRING)
_VARIABLES = Schema(type=OpenAPIType.OBJECT, description="Values for the prompt's variables, checked against its contract")
_MESSAGES = Schema(type=OpenAPIType.ARRAY, items=_ANY, description="In OpenAI's form; sent byte for byte")
_MODEL = Schema(type=OpenAPIType.STRING, description="A prompt (`faq-bot`, `faq-bot@staging`, `faq-bot:7`) or a model")
_PROMPT = Schema(
    type=OpenAPIType.OBJECT,
    description="Names a prompt in the form of OpenAI's stored prompts",
    properties={"id": _TEXT, "version": _TEXT, "variables": _VARIABLES},
)
_CHAT = Schema(
    type=OpenAPIType.OBJECT,
    description="OpenAI's chat completion request. Fields not named here go to the provider untouched.",
    properties={
        "model": _MODEL,
        "messages": _MESSAGES,
        "stream": Schema(type=OpenAPIType.BOOLEAN),
        "variables": _VARIABLES,
        "prompt": _PROMPT,
    },
)
_COMPLETIONS = Schema(
    type=OpenAPIType.OBJECT,
    description="OpenAI's legacy completion request: a text in, texts out.",
    properties={
        "model": Schema(type=OpenAPIType.STRING, description="As for chat; here and in headers alone a prompt can be named"),
        "prompt": Schema(description="The text itself"),
        "stream": Schema(type=OpenAPIType.BOOLEAN),
        "variables": _VARIABLES,
    },
)
_MESSAGES_CALL = Schema(
    type=OpenAPIType.OBJECT,
    description="Anthropic's message request. An Anthropic provider gets it as it is; others get what has a form in theirs.",
    properties={
        "model": Schema(type=OpenAPIType.STRING, description="A prompt (`faq-bot`, `faq-bot@staging`, `faq-bot:7`) or a model"),
        "messages": Schema(type=OpenAPIType.ARRAY, items=_ANY, description="In Anthropic's form"),
        "max_tokens": Schema(type=OpenAPIType.INTEGER),
        "stream": Schema(type=OpenAPIType.BOOLEAN),
        "variables": _VARIABLES,
        "prompt": Schema(
            type=OpenAPIType.OBJECT,
            description="Names a prompt",
            properties={"id": _TEXT, "version": _TEXT, "variables": _VARIABLES},
        ),
    },
)
_RENDER = Schema(type=OpenAPIType.OBJECT, properties={"variables": _VARIABLES, "messages": _MESSAGES})
_RESPONSES = Schema(
    type=OpenAPIType.OBJECT,
    description="OpenAI's Responses API request; any provider may be behind it.",
    properties={
        "model": _MODEL,
        "input": Schema(description="A text, or a list of items"),
        "instructions": _TEXT,
        "stream": Schema(type=OpenAPIType.BOOLEAN),
        "variables": _VARIABLES,
        "prompt": _PROMPT,
        "previous_response_id": _TEXT,
    },
)
_PINS = [
    Parameter("x-prompt", "header", _TEXT, "A prompt reference"),
    Parameter("x-prompt-version", "header", _TEXT, "Pins a version number or semantic version"),
    Parameter("x-prompt-alias", "header", _TEXT, "Pins an alias"),
    Parameter("x-request-timeout-ms", "header", _TEXT, "Shortens the call's deadline"),
    Parameter("idempotency-key", "header", _TEXT, "Replays the first answer to retries with the same key and body"),
    Parameter("cache-control", "header", _TEXT, "`no-cache` or `no-store`, for versions with a `cache`"),
    Parameter("x-first-token-timeout-ms", "header", _TEXT, "Tries another target when no first token came within this time"),
]
_RUN = Schema(
    type=OpenAPIType.OBJECT,
    description="As a chat completion request, with the prompt named by the path. The body may be left out.",
    properties={"variables": _VARIABLES, "messages": _MESSAGES, "stream": Schema(type=OpenAPIType.BOOLEAN)},
)
_TRIAL = Schema(
    type=OpenAPIType.OBJECT,
    description="Give `content` or `prompt`; fields not named here are those of a chat completion request.",
    properties={
        "application": Schema(type=OpenAPIType.STRING, description="Whom to act for; needless while there is only one"),
        "content": Schema(type=OpenAPIType.OBJECT, description="A version's content, as in `POST /prompts/{slug}/versions`"),
        "prompt": Schema(
            type=OpenAPIType.STRING, description="A stored version, published or not (`faq-bot:3`, `faq-bot@draft`)"
        ),
        "model": Schema(type=OpenAPIType.STRING, description="The model or route to ask, in the place of the content's own"),
        **(_RUN.properties or {}),
    },
)
_PROMPT_ID = Parameter("prompt_id", "path", _TEXT, "The prompt's slug; a slash in it is written `~` or `%2F`", required=True)
_VERSION = "A version number or semantic version"
_ID = Parameter("id", "path", _TEXT, "Of an object that this application has made", required=True)
_FORM = "multipart/form-data"
_RESPONSE_ID = Parameter("id", "path", _TEXT, "The id of a response", required=True)
_REPLAY = [
    Parameter("stream", "query", _TEXT, "`true`: as events"),
    Parameter("starting_after", "query", _TEXT, "The number of the event after which a stream begins"),
]
_PAGE = [
    Parameter("limit", "query", _TEXT, "Items per page, 1 to 100; 20 unless told"),
    Parameter("order", "query", _TEXT, "`asc` or `desc` (newest first, the default)"),
    Parameter("after", "query", _TEXT, "The id of the last item seen"),
]
_REF = Parameter("ref", "path", _TEXT, "A prompt reference, percent-encoded", required=True)


def data_plane_paths() -> dict[str, PathItem]:
    """Path -> item, for the application's OpenAPI document."""
    return {
        "/v1/chat/completions": PathItem(post=_post("Answer a prompt or a model, whole or streamed", _CHAT, _PINS)),
        "/v1/completions": PathItem(post=_post("The same in the form of OpenAI's legacy completions", _COMPLETIONS, _PINS)),
        "/v1/messages": PathItem(post=_post("Answer in Anthropic's form, whole or streamed", _MESSAGES_CALL, _PINS)),
        "/v1/messages/count_tokens": PathItem(
            post=_post("The input tokens of such a call, without making it", _MESSAGES_CALL, _PINS)
        ),
        "/v1/responses": PathItem(post=_post("The same in the form of OpenAI's Responses API", _RESPONSES, _PINS)),
        "/v1/responses/input_tokens": PathItem(
            post=_post("The input tokens of such a call, without making it", _RESPONSES, _PINS)
        ),
        "/v1/responses/{id}": PathItem(
            get=_operation("A kept response, whole or as its stream", [_RESPONSE_ID, *_REPLAY]),
            delete=_operation("Forget a kept response", [_RESPONSE_ID]),
        ),
        "/v1/responses/{id}/cancel": PathItem(post=_operation("Refused: only background responses can be", [_RESPONSE_ID])),
        "/v1/responses/{id}/input_items": PathItem(get=_operation("What was said to a kept response", [_RESPONSE_ID, *_PAGE])),
        "/v1/prompts/{ref}/completions": PathItem(post=_post("A prompt as an endpoint", _CHAT, [_REF])),
        "/v1/prompts/{ref}/render": PathItem(post=_post("The messages a call would send, without a call", _RENDER, [_REF])),
        "/v1/explain": PathItem(post=_post("What would become of a chat call, without a call", _CHAT, _PINS)),
        "/api/v1/execute/{prompt_id}/{version}": PathItem(
            post=_post(
                "Run a published version", _RUN, [_PROMPT_ID, Parameter("version", "path", _TEXT, _VERSION, required=True)]
            )
        ),
        "/api/v1/execute/{prompt_id}/latest": PathItem(post=_post("Run the newest published version", _RUN, [_PROMPT_ID])),
        "/api/v1/test-prompt": PathItem(post=_trial()),
        "/v1/models": PathItem(get=_operation("The prompts and routes that the key may name as a model")),
        "/v1/models/{id}": PathItem(
            get=_operation("One of them", [Parameter("id", "path", _TEXT, "Its name, percent-encoded", required=True)])
        ),
        "/v1/embeddings": PathItem(post=_passed("Vectors of texts or tokens")),
        "/v1/moderations": PathItem(post=_passed("Judge texts and images")),
        "/v1/images/generations": PathItem(post=_passed("Make images")),
        "/v1/images/edits": PathItem(post=_passed("Change images", _FORM)),
        "/v1/images/variations": PathItem(post=_passed("Vary an image", _FORM)),
        "/v1/audio/speech": PathItem(post=_passed("Text to sound")),
        "/v1/audio/transcriptions": PathItem(post=_passed("Sound to text", _FORM)),
        "/v1/audio/translations": PathItem(post=_passed("Sound to English text", _FORM)),
        "/v1/files": PathItem(get=_operation("The application's files"), post=_passed("Make a file", _FORM)),
        "/v1/files/{id}": PathItem(get=_operation("A file", [_ID]), delete=_operation("Delete it", [_ID])),
        "/v1/files/{id}/content": PathItem(get=_operation("What is in it", [_ID])),
        "/v1/batches": PathItem(get=_operation("The application's batches"), post=_passed("Make a batch of a file")),
        "/v1/batches/{id}": PathItem(get=_operation("A batch", [_ID])),
        "/v1/batches/{id}/cancel": PathItem(post=_operation("Cancel it", [_ID])),
    }


def _trial() -> Operation:
    operation = _post("Run a content once, without saving or publishing it", _TRIAL, [])
    operation.description = "Wants the admin token (`Authorization: Bearer ...`). Errors are in OpenAI's form."
    return operation


def _passed(summary: str, media_type: str = "application/json") -> Operation:
    """A call that is forwarded as it is, in OpenAI's form."""
    operation = _operation(summary)
    operation.request_body = RequestBody({media_type: OpenAPIMediaType(schema=_ANY)}, required=True)
    return operation


def _post(summary: str, body: Schema, parameters: list[Parameter]) -> Operation:
    operation = _operation(summary, parameters)
    operation.request_body = RequestBody({"application/json": OpenAPIMediaType(schema=body)}, required=True)
    return operation


def _operation(summary: str, parameters: list[Parameter] | None = None) -> Operation:
    answer = {"application/json": OpenAPIMediaType(schema=_ANY)}
    return Operation(
        tags=[_TAG],
        summary=summary,
        description="Wants an API key (`Authorization: Bearer pg_...` or `x-api-key`). Errors are in the form of the route's vendor.",
        parameters=list(parameters or []),
        responses={"200": OpenAPIResponse("The answer", content=answer), "4XX": OpenAPIResponse("An error", content=answer)},
    )
