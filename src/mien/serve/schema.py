"""The shapes of the answers, for the OpenAPI document. The answers themselves come from `Reading.to_dict`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from mien.labels import EXPRESSIONS, SCHEMES
from mien.serve.models import LONGEST_LABELS
from mien.serve.options import ServeOptions

__all__ = [
    "UPLOAD_BODY",
    "ErrorAnswer",
    "ExplainAnswer",
    "Health",
    "LabelsQuery",
    "ModelQuery",
    "ModelsAnswer",
    "RecognizeAnswer",
    "complete_document",
    "error_answers",
]

ModelQuery = Annotated[str | None, Query(max_length=100, description="A name from /v1/models.")]
LabelsQuery = Annotated[
    str | None,
    Query(max_length=LONGEST_LABELS, description="A label scheme, or expressions such as happy,sad,neutral."),
]

_FACE_EXAMPLE: dict[str, Any] = {
    "track_id": None,
    "box_xyxy": [178.04, 58.73, 271.76, 177.03],
    "score": 0.856248,
    "landmarks_xy": [[204.96, 101.28], [246.59, 102.02], [225.82, 125.51], [206.64, 143.37], [243.2, 144.02]],
    "expression": "happy",
    "confidence": 0.959037,
    "probabilities": {
        "angry": 0.006673, "disgust": 0.001611, "fear": 0.008246, "happy": 0.959037,
        "sad": 0.009487, "surprise": 0.004551, "neutral": 0.010395,
    },
    "coverage": 1.0,
    "not_face": 0.00016,
    "unknown": 0.001664,
}  # fmt: skip
_READING_EXAMPLE: dict[str, Any] = {
    "source": "astronaut.jpg", "frame": None, "time_s": None, "size_wh": [512, 512], "turned_deg": 0,
    "faces": [_FACE_EXAMPLE], "note": None, "error": None,
}  # fmt: skip


_EXPLANATION_EXAMPLE: dict[str, Any] = {
    "face": 1,
    "explained": "happy",
    "probability": 0.959,
    "corners_xy": [[167.61, 55.2], [285.79, 57.42], [283.56, 175.59], [165.39, 173.37]],
    "drop": [
        [0.0071, -0.0009, 0.0063, 0.0059, 0.0051, 0.0047, -0.0006, 0.0071],
        [-0.0021, 0.0176, 0.0008, -0.0013, -0.002, -0.001, 0.0186, -0.0014],
        [0.0048, 0.0176, 0.0146, 0.0064, 0.0102, 0.01, 0.0163, 0.0094],
        [0.0057, 0.0097, 0.0127, 0.0138, 0.0118, 0.0152, 0.0076, 0.0046],
        [0.0173, 0.0181, 0.0373, 0.0047, 0.0029, 0.0342, 0.0182, 0.0156],
        [0.016, 0.004, 0.0259, 0.037, 0.0335, 0.0266, 0.0041, 0.0148],
        [0.0082, 0.0079, 0.0334, 0.0385, 0.0379, 0.0385, 0.0049, 0.0113],
        [0.0079, 0.0179, 0.0125, 0.0103, 0.0117, 0.0113, 0.0162, 0.0079],
    ],
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FaceAnswer(_Strict):
    """One face: the values of a JSON line of ``mien recognize --json``."""

    track_id: int | None = Field(description="The person's number within a live stream; null for photos.")
    box_xyxy: list[float] = Field(min_length=4, max_length=4, description="Left, top, right, bottom in pixels.")
    score: float | None = Field(description="The detector's confidence in [0, 1]; null without a detector.")
    landmarks_xy: list[list[float]] = Field(max_length=5, description="Eye, eye, nose tip, mouth corners in pixels.")
    expression: str = Field(description="The most probable label.")
    confidence: float = Field(description="Its probability.")
    probabilities: dict[str, float] = Field(description="One a label, in the scheme's order; they sum to 1.")
    coverage: float = Field(description="How much of the model's probability lay on these labels.")
    not_face: float | None = Field(description="Probability that this is no face; null if the model cannot say.")
    unknown: float | None = Field(description="Probability that people could not name the expression.")


class ReadingAnswer(_Strict):
    """All faces of one image."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _READING_EXAMPLE})

    source: str = Field(description="The name that came with the file.")
    frame: int | None = Field(description="Number of the frame in a live stream; null for photos.")
    time_s: float | None = Field(description="Seconds since the stream's first frame; null for photos.")
    size_wh: list[int] = Field(min_length=2, max_length=2, description="Width and height in pixels.")
    turned_deg: Literal[0, 90, 180, 270] = Field(
        description="By how many degrees clockwise the photo was turned to be read upright."
    )
    faces: list[FaceAnswer] = Field(description="Empty where there is no face.")
    note: str | None = Field(description="What one should know about how the image was read.")
    error: str | None = Field(description="Why it could not be read; only where several images were sent.")


class RecognizeAnswer(_Strict):
    """The readings, in the order of the images."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"model": "base", "labels": "fer7", "readings": [_READING_EXAMPLE]}},
    )

    model: str
    labels: str = Field(description="The label scheme.")
    readings: list[ReadingAnswer]


class ExplanationAnswer(_Strict):
    """What one face's answer rests on: the values of ``mien explain --json``."""

    face: int = Field(description="Number of the face in the reading, from 1.")
    explained: str = Field(description="The label that is explained.")
    probability: float = Field(description="Its probability where nothing is hidden.")
    corners_xy: list[list[float]] = Field(
        min_length=4,
        max_length=4,
        description="Where the crop lies in the photo: top left, top right, bottom right, bottom left, in pixels.",
    )
    drop: list[list[float]] = Field(
        min_length=8,
        max_length=8,
        description="8 rows of 8: how much less probable the label is where this square of the crop is hidden; "
        "negative where it is more probable.",
    )
    picture: str | None = Field(default=None, description="PNG in base64; only with picture=png.")


class ExplainAnswer(_Strict):
    """The reading of a photo, and what it rests on."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "model": "base", "labels": "fer7", "reading": _READING_EXAMPLE, "explanations": [_EXPLANATION_EXAMPLE],
            }
        },
    )  # fmt: skip

    model: str
    labels: str = Field(description="The label scheme.")
    reading: ReadingAnswer
    explanations: list[ExplanationAnswer] = Field(description="One for each face that was asked for, in order.")


class ModelAnswer(_Strict):
    """One model of the zoo."""

    name: str
    summary: str
    licence: str
    parameters: int
    schemes: dict[str, list[str]] = Field(description="The label schemes it can serve, with their labels.")


class DefaultAnswer(_Strict):
    """What clients get who ask for nothing."""

    model: str
    labels: str


class LimitsAnswer(_Strict):
    """What a request may be."""

    max_upload_mb: float
    max_images: int
    max_megapixels: float
    max_faces: int
    max_explained_faces: int
    max_frame_mb: float
    max_frames_per_s: float


class ModelsAnswer(_Strict):
    """What clients may choose from."""

    default: DefaultAnswer
    models: list[ModelAnswer]
    colors: dict[str, str] = Field(description="One colour a label, as #rrggbb.")
    limits: LimitsAnswer


class Health(_Strict):
    """The service answers."""

    status: Literal["ok"] = "ok"
    version: str


class ErrorDetail(_Strict):
    """What is wrong."""

    code: str = Field(description="One stable word for programs.")
    message: str = Field(description="For people: what came, what was expected, what to do.")


class ErrorAnswer(_Strict):
    """Every error has this shape."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "error": {
                    "code": "unreadable_image",
                    "message": "notes.txt: is not an image (text: it starts with 'hello'); expected JPEG, PNG, ...",
                }
            }
        },
    )

    error: ErrorDetail


def error_answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route says of the errors that it may answer with."""
    meanings = {
        400: "The request does not follow the protocol.",
        401: "The bearer token is missing or wrong.",
        403: "Unknown host, or a page of a foreign origin.",
        408: "The request came too slowly.",
        413: "Over a limit of bytes, images, pixels or faces.",
        415: "Not multipart/form-data.",
        422: "Not an image, or an unknown model, label or parameter.",
        429: "Too many requests from one client.",
        503: "Overloaded; see Retry-After.",
    }
    return {status: {"model": ErrorAnswer, "description": meanings[status]} for status in statuses}


UPLOAD_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["images"],
                "additionalProperties": False,
                "properties": {
                    "images": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "binary"},
                        "description": "JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF files, one part each; "
                        "HEIC where pillow-heif is installed.",
                    }
                },
            },
            "encoding": {"images": {"contentType": "image/*"}},
        }
    },
}


def complete_document(document: dict[str, Any], model_names: list[str], options: ServeOptions) -> dict[str, Any]:
    """Add to the OpenAPI document what is only known when the service starts: models, limits, the token."""
    for path, max_images in (("/v1/recognize", options.max_images), ("/v1/explain", 1)):
        route = document["paths"][path]["post"]
        for parameter in route["parameters"]:
            if parameter["name"] == "model":
                parameter["schema"] = {"type": "string", "enum": model_names}
                parameter["example"] = model_names[-1]
            elif parameter["name"] == "labels":
                expression = f"({'|'.join(EXPRESSIONS)})"
                pattern = f"^(auto|{'|'.join(SCHEMES)}|{expression}(,{expression})+)$"
                parameter["schema"] = {"type": "string", "maxLength": LONGEST_LABELS, "pattern": pattern}
                parameter["example"] = "happy,sad,neutral"
        upload = route["requestBody"]["content"]["multipart/form-data"]["schema"]
        upload["properties"]["images"]["maxItems"] = max_images
    if options.token is not None:
        document.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            if path != "/healthz":
                for operation in operations.values():
                    operation["security"] = [{"token": []}]
    return document
