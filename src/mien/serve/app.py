"""The application: the routes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

import mien
from mien.recognizer import Recognizer
from mien.result import Reading
from mien.serve.engine import Engine
from mien.serve.explain import add_explain
from mien.serve.explainer import Explainer
from mien.serve.guard import Guard, check_token
from mien.serve.metrics import Metrics
from mien.serve.models import Models
from mien.serve.options import ServeOptions
from mien.serve.problem import Problem, overloaded
from mien.serve.schema import (
    UPLOAD_BODY,
    Health,
    LabelsQuery,
    ModelQuery,
    ModelsAnswer,
    RecognizeAnswer,
    complete_document,
    error_answers,
)
from mien.serve.service import Service
from mien.serve.stream import Stream
from mien.serve.upload import Upload, Uploads

__all__ = ["create_app"]

_PAGE = Path(__file__).parent / "page"
_PAGE_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


def create_app(options: ServeOptions | None = None) -> FastAPI:
    """Build the service as an ASGI application. `mien serve` runs it; tests and other servers may too.

    Raises
    ------
    ModelError, UsageError
        If the options name a model or labels that do not fit.
    """
    options = options or ServeOptions()
    metrics = Metrics()
    models = Models(options)
    engine = Engine(options, metrics, models.threads)
    explainer = Explainer(options, metrics, engine)
    service = Service(options, metrics, models, engine, explainer, Uploads(options, metrics))

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.start()
        explainer.start()
        yield
        await asyncio.to_thread(explainer.stop)
        await asyncio.to_thread(engine.stop)

    app = FastAPI(
        title="mien",
        version=mien.__version__,
        summary="Reads facial expressions from photos and live cameras.",
        description=(
            "Images are read in memory and discarded; nothing is stored, logged or sent on. "
            "Live streams use the WebSocket `/v1/stream`, which OpenAPI cannot describe: see docs/serve.md."
        ),
        license_info={"name": "Apache-2.0"},
        docs_url=None,  # they load scripts from other sites
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    app.add_middleware(Guard, options=options, metrics=metrics)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    _add_api(app, service)
    add_explain(app, service)
    _add_stream(app, service)
    _add_page(app)
    document = complete_document(app.openapi(), models.names, options)
    app.openapi = lambda: document  # type: ignore[method-assign]
    for route in app.routes:  # behind the document, which need not say so: HTTP allows HEAD wherever it allows GET
        methods = route.methods if isinstance(route, APIRoute) else None
        if methods and "GET" in methods:
            methods.add("HEAD")
    return app


def _add_api(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/recognize",
        summary="Read the faces of one or more images",
        openapi_extra={"requestBody": UPLOAD_BODY},
        responses={
            200: {
                "model": RecognizeAnswer,
                "description": "The readings, in order.",
                "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
            },
            **error_answers(400, 401, 403, 408, 413, 415, 422, 429, 503),
        },
    )
    async def recognize(
        request: Request,
        model: ModelQuery = None,
        labels: LabelsQuery = None,
        format: Annotated[  # noqa: A002 - the name of the parameter
            Literal["json", "jsonl"],
            Query(
                description=(
                    "'jsonl' gives one line per face, exactly as 'mien recognize --json', and for each image that "
                    "could not be read a line with 'source', 'frame', 'time_s' and 'error'."
                )
            ),
        ] = "json",
    ) -> Response:
        """A single image that cannot be read is an error; of several, it becomes a reading, or a line, with `error`."""
        unknown = set(request.query_params) - {"model", "labels", "format"}
        if unknown:
            name = min(unknown)[:80]
            raise Problem(422, "invalid_parameter", f"unknown parameter {name!r}; expected model, labels or format")
        service.engine.check_room()
        recognizer = service.models.default
        if model is not None or labels is not None:
            recognizer = await asyncio.to_thread(service.models.find, model, labels)
        held: list[int] = []
        try:
            uploads = await service.uploads.read(request, held)
            readings = await _read_all(service, uploads, recognizer)
        finally:
            service.uploads.release(held)
        headers = {"cache-control": "no-store"}
        if format == "jsonl":
            lines = [json.dumps(record, ensure_ascii=False) for r in readings for record in _records(r)]
            text = "".join(f"{line}\n" for line in lines)
            return Response(text, media_type="application/x-ndjson", headers=headers)
        answer = {
            "model": recognizer.card.name,
            "labels": recognizer.scheme.name,
            "readings": [reading.to_dict() for reading in readings],
        }
        return JSONResponse(answer, headers=headers)

    @app.get(
        "/v1/models",
        summary="The models and label schemes to choose from, and the limits",
        responses={200: {"model": ModelsAnswer}, **error_answers(401, 403, 429)},
    )
    async def models() -> Response:
        return JSONResponse(service.models.describe(), headers={"cache-control": "no-store"})

    @app.get("/healthz", summary="Is the service alive?", responses={200: {"model": Health}, **error_answers(403)})
    async def health() -> Response:
        return JSONResponse({"status": "ok", "version": mien.__version__}, headers={"cache-control": "no-store"})

    @app.get(
        "/metrics",
        summary="Counters for Prometheus",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            **error_answers(401, 403, 429),
        },
    )
    async def metrics() -> Response:
        return Response(service.metrics.render(), headers={"content-type": service.metrics.content_type})


def _add_stream(app: FastAPI, service: Service) -> None:
    streams: set[WebSocket] = set()

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        authorization = socket.headers.get("authorization")
        open_streams = service.metrics.streams
        try:
            if authorization is not None:
                check_token(service.options.token, authorization)
            if len(streams) >= service.options.max_streams:
                raise overloaded(f"{service.options.max_streams} live streams are open; try again later", 5)
        except Problem as problem:
            service.metrics.refused.labels(problem.code).inc()
            response = JSONResponse(problem.to_dict(), problem.status, headers=problem.headers)
            await socket.send_denial_response(response)
            return
        streams.add(socket)
        open_streams.set(len(streams))
        try:
            await socket.accept()
            await Stream(socket, service, service.options.token is None or authorization is not None).run()
        finally:
            streams.discard(socket)
            open_streams.set(len(streams))


async def _read_all(service: Service, uploads: list[Upload], recognizer: Recognizer) -> list[Reading]:
    service.engine.check_room(len(uploads))
    if len(uploads) == 1:
        return [(await service.engine.read(uploads[0].data, uploads[0].name, recognizer))[0]]
    tasks = [asyncio.ensure_future(service.engine.read(u.data, u.name, recognizer)) for u in uploads]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    readings = []
    for upload, item in zip(uploads, found, strict=True):
        if isinstance(item, Problem) and item.status < 500:
            error = item.message.removeprefix(f"{upload.name}: ")
            readings.append(Reading(upload.name, (0, 0), error=error))
        elif isinstance(item, BaseException):
            raise item
        else:
            readings.append(item[0])
    return readings


def _records(reading: Reading) -> list[dict[str, Any]]:
    """What the JSON lines say of a reading: a record a face, or one that says why there is none to be had."""
    if reading.error is None:
        return reading.to_records()
    return [{"source": reading.source, "frame": reading.frame, "time_s": reading.time_s, "error": reading.error}]


def _add_page(app: FastAPI) -> None:
    files = {
        path.name: (path.read_bytes(), _PAGE_TYPES[path.suffix])
        for path in sorted(_PAGE.iterdir())
        if path.suffix in _PAGE_TYPES
    }
    tags = {name: f'"{hashlib.sha256(data).hexdigest()[:16]}"' for name, (data, _) in files.items()}

    def answer(request: Request, name: str) -> Response:
        if name not in files:
            raise HTTPException(404)
        headers = {"etag": tags[name], "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tags[name]:
            return Response(status_code=304, headers=headers)
        data, kind = files[name]
        return Response(data, headers={**headers, "content-type": kind})

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return answer(request, "index.html")

    @app.get("/page/{name}", include_in_schema=False)
    async def page_file(request: Request, name: str) -> Response:
        return answer(request, name)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - that is what it is registered for
    codes = {404: ("not_found", f"there is nothing at {request.url.path[:200]!r}")}
    codes[405] = ("method_not_allowed", f"{request.method} is not for {request.url.path[:200]!r}")
    code, message = codes.get(error.status_code, ("bad_request", str(error.detail)[:300]))
    problem = Problem(error.status_code, code, message)
    return JSONResponse(problem.to_dict(), error.status_code, headers={**problem.headers, **(error.headers or {})})


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    problem = Problem(422, "invalid_parameter", f"parameter '{where}': {first['msg']}"[:300])
    return JSONResponse(problem.to_dict(), 422, headers=problem.headers)
