"""The shapes of the answers, for the OpenAPI document. The answers themselves come from `Reading.to_dict`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mien.labels import EXPRESSIONS, SCHEMES
from mien.serve.models import LONGEST_LABELS
from mien.serve.options import ServeOptions

__all__ = ["UPLOAD_BODY", "ErrorAnswer", "Health", "ModelsAnswer", "RecognizeAnswer", "complete_document"]

_FACE_EXAMPLE: dict[str, Any] = {
    "track_id": None,
    "box_xyxy": [176.77, 57.5, 275.05, 178.24],
    "score": 0.838896,
    "landmarks_xy": [[203.2, 99.58], [247.69, 101.52], [223.46, 125.81], [203.91, 144.71], [243.03, 146.4]],
    "expression": "happy",
    "confidence": 0.919899,
    "probabilities": {
        "angry": 0.013625, "disgust": 0.006811, "fear": 0.011791, "happy": 0.919899,
        "sad": 0.0147, "surprise": 0.012431, "neutral": 0.020743,
    },
    "coverage": 1.0,
    "not_face": 0.000133,
    "unknown": 0.001863,
}  # fmt: skip
_READING_EXAMPLE: dict[str, Any] = {
    "source": "astronaut.jpg", "frame": None, "time_s": None, "size_wh": [512, 512], "turned_deg": 0,
    "faces": [_FACE_EXAMPLE], "note": None, "error": None,
}  # fmt: skip


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
    recognize = document["paths"]["/v1/recognize"]["post"]
    for parameter in recognize["parameters"]:
        if parameter["name"] == "model":
            parameter["schema"] = {"type": "string", "enum": model_names}
            parameter["example"] = model_names[-1]
        elif parameter["name"] == "labels":
            expression = f"({'|'.join(EXPRESSIONS)})"
            pattern = f"^(auto|{'|'.join(SCHEMES)}|{expression}(,{expression})+)$"
            parameter["schema"] = {"type": "string", "maxLength": LONGEST_LABELS, "pattern": pattern}
            parameter["example"] = "happy,sad,neutral"
    upload = recognize["requestBody"]["content"]["multipart/form-data"]["schema"]
    upload["properties"]["images"]["maxItems"] = options.max_images
    if options.token is not None:
        document.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            if path != "/healthz":
                for operation in operations.values():
                    operation["security"] = [{"token": []}]
    return document
