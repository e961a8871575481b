"""The route that tells what the answers to a photo's faces rest on."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any, Literal, TypeVar

from fastapi import FastAPI, Query, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from mien.errors import UsageError
from mien.explain.faces import find_expression
from mien.result import Reading
from mien.serve.explainer import Explained, Work
from mien.serve.problem import Problem
from mien.serve.schema import UPLOAD_BODY, ExplainAnswer, LabelsQuery, ModelQuery, error_answers
from mien.serve.service import Service

__all__ = ["add_explain"]

_T = TypeVar("_T")
_LONGEST_FACES = 500
_PARAMETERS = ("model", "labels", "expression", "faces", "format", "picture")
_HEADERS = {"cache-control": "no-store"}
# A proxy that gathers an answer before it passes it on keeps the lines until the last one.
_LINE_HEADERS = {**_HEADERS, "x-accel-buffering": "no"}


def add_explain(app: FastAPI, service: Service) -> None:
    """Add ``POST /v1/explain`` to an application."""

    @app.post(
        "/v1/explain",
        summary="Find out which parts of the faces in an image speak for an expression, and which against it",
        openapi_extra={"requestBody": UPLOAD_BODY},
        responses={
            200: {
                "model": ExplainAnswer,
                "description": "The reading and its explanations, or what 'format' says.",
                "content": {
                    "application/x-ndjson": {"schema": {"type": "string"}},
                    "image/png": {"schema": {"type": "string", "format": "binary"}},
                },
            },
            **error_answers(400, 401, 403, 408, 413, 415, 422, 429, 503),
        },
    )
    async def explain(
        request: Request,
        model: ModelQuery = None,
        labels: LabelsQuery = None,
        expression: Annotated[
            str | None,
            Query(
                max_length=100,
                description="The label to explain; by default of each face the one that it is read as.",
                examples=["happy"],
            ),
        ] = None,
        faces: Annotated[
            str | None,
            Query(
                max_length=_LONGEST_FACES,
                pattern=r"^[1-9][0-9]{0,4}(,[1-9][0-9]{0,4})*$",
                description="Numbers of the faces to explain, in the order of the reading, from 1; by default all.",
                examples=["1"],
            ),
        ] = None,
        format: Annotated[  # noqa: A002 - the name of the parameter
            Literal["json", "jsonl", "png"],
            Query(
                description=(
                    "'jsonl' gives a line for each face as soon as it is explained, exactly as 'mien explain --json'; "
                    "if the service fails after the first, the last line is an error. 'png' gives the picture of all "
                    "faces beside their maps that 'mien explain --draw' writes."
                )
            ),
        ] = "json",
        picture: Annotated[
            Literal["none", "png"],
            Query(description="'png' adds to each explanation its picture, as PNG in base64; not with format=png."),
        ] = "none",
    ) -> Response:
        """A face takes as long as reading some two hundred; those of all clients are explained one after the other."""
        unknown = set(request.query_params) - set(_PARAMETERS)
        if unknown:
            expected = f"{', '.join(_PARAMETERS[:-1])} or {_PARAMETERS[-1]}"
            raise _invalid(f"unknown parameter {min(unknown)[:80]!r}; expected {expected}")
        if format == "png" and picture == "png":
            raise _invalid("picture=png is for the formats json and jsonl; format=png is a picture already")
        service.engine.check_room()
        service.explainer.check_room()
        recognizer = service.models.default
        if model is not None or labels is not None:
            recognizer = await asyncio.to_thread(service.models.find, model, labels)
        try:
            expression = find_expression(expression, recognizer.scheme.labels)
        except UsageError as error:
            raise _invalid(str(error)[:500]) from error
        held: list[int] = []
        work: Work | None = None

        def end() -> None:
            service.uploads.release(held)
            if work is not None:
                service.explainer.end(work)

        try:
            (upload,) = await service.uploads.read(request, held, max_images=1)
            # As any photo is read: what is wrong with it is told at once, and its pixels are not kept for the wait.
            reading, _ = await service.engine.read(upload.data, upload.name, recognizer)
            numbers = _numbers(faces, reading)
            if format == "png" and not numbers:
                raise Problem(422, "no_face", f"{reading.source}: no face found, so that there is nothing to draw")
            draw: Literal["none", "each", "all"] = "all" if format == "png" else "each" if picture == "png" else "none"
            work = service.explainer.begin(upload.data, reading, numbers, recognizer, expression, draw)
            if format == "jsonl":
                return _Lines(_lines(reading, work), end)
            found = await _unless_gone(request, _all(work))
        except BaseException:
            end()
            raise
        end()
        if format == "png":
            return Response(work.picture, media_type="image/png", headers=_HEADERS)
        answer = {
            "model": recognizer.card.name,
            "labels": recognizer.scheme.name,
            "reading": reading.to_dict(),
            "explanations": [{"face": one.number, **_plain(one)} for one in found],
        }
        return JSONResponse(answer, headers=_HEADERS)


class _Lines(StreamingResponse):
    """JSON lines, each sent as it comes; `end` is called in any case, also if the client goes before the first."""

    def __init__(self, lines: AsyncIterator[str], end: Callable[[], None]) -> None:
        super().__init__(lines, media_type="application/x-ndjson", headers=_LINE_HEADERS)
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._end()


async def _lines(reading: Reading, work: Work) -> AsyncIterator[str]:
    records = reading.to_records()
    try:
        async for one in work:
            yield _line({**records[one.number - 1], **_plain(one)})
    except Problem as problem:  # the status is sent already
        yield _line(problem.to_dict())


def _line(record: dict[str, Any]) -> str:
    return f"{json.dumps(record, ensure_ascii=False)}\n"


async def _all(work: Work) -> list[Explained]:
    return [one async for one in work]


def _plain(one: Explained) -> dict[str, Any]:
    drawn = {} if one.picture is None else {"picture": base64.b64encode(one.picture).decode("ascii")}
    return {**one.explanation.to_dict(), **drawn}


def _numbers(faces: str | None, reading: Reading) -> list[int]:
    """The faces that are wanted, in the order of the reading."""
    count = len(reading.faces)
    if faces is None:
        return list(range(1, count + 1))
    numbers = sorted(set(map(int, faces.split(","))))
    if numbers[-1] > count:
        found = f"{count} face{'' if count == 1 else 's'}" if count else "no face"
        raise _invalid(f"faces names face {numbers[-1]}; {reading.source} has {found}")
    return numbers


async def _unless_gone(request: Request, work: Coroutine[Any, Any, _T]) -> _T:
    """The outcome of what may take long; given up if the client goes, which nobody else looks for."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Problem(400, "disconnected", "the client went away before the answer")
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _invalid(message: str) -> Problem:
    return Problem(422, "invalid_parameter", message)
