"""The tokenizer's endpoints of vLLM, which lm-eval uses instead of a local copy of the tokenizer."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from serve.api.body import parse
from serve.api.completions.prompts import check_tokens
from serve.api.models import find_model
from serve.api.schemas.base import NeutralModel
from serve.service import ServedModel, Service


class TokenizeRequest(NeutralModel):
    """Body of ``POST /tokenize``."""

    prompt: str
    model: str | None = None
    add_special_tokens: bool = True
    """Put bos in front if the model's documents start with it."""


class DetokenizeRequest(NeutralModel):
    """Body of ``POST /detokenize``."""

    tokens: list[int]
    model: str | None = None


def routes(service: Service) -> list[Route]:
    """Return the routes ``/tokenize``, ``/detokenize`` and ``/tokenizer_info``."""

    async def tokenize(request: Request) -> JSONResponse:
        body = await parse(request, TokenizeRequest)
        model = _model(service, body.model)
        ids = await run_in_threadpool(_encode, model, body.prompt)
        bos = model.loaded.tokenizer.bos
        if body.add_special_tokens and bos is not None:
            ids = [bos, *ids]
        return JSONResponse({"count": len(ids), "max_model_len": model.engine.capacity, "tokens": ids})

    async def detokenize(request: Request) -> JSONResponse:
        body = await parse(request, DetokenizeRequest)
        tokenizer = _model(service, body.model).loaded.tokenizer
        check_tokens(body.tokens, tokenizer.vocabulary_size, "tokens")
        return JSONResponse({"prompt": await run_in_threadpool(tokenizer.decode, body.tokens)})

    async def info(_request: Request) -> JSONResponse:
        tokenizer = service.model.loaded.tokenizer
        template = {"chat_template": tokenizer.chat_template} if tokenizer.chat_template else {}
        return JSONResponse({"tokenizer_class": type(tokenizer).__name__, **tokenizer.names, **template})

    return [
        Route("/v1/tokenize", tokenize, methods=["POST"]),
        Route("/v1/detokenize", detokenize, methods=["POST"]),
        Route("/v1/tokenizer_info", info),
    ]


def _model(service: Service, name: str | None) -> ServedModel:
    return service.model if name is None else find_model(service, name)


def _encode(model: ServedModel, text: str) -> list[int]:
    """Return the ids of a text; the name of a special token alone means that token."""
    special = model.loaded.tokenizer.special.get(text)
    return model.loaded.tokenizer.encode(text) if special is None else [special]
