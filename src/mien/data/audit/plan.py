"""The plan: what an audit found, a row a finding, for a person to review and for `mien data clean` to carry out."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mien.data.dataset import Dataset
from mien.data.parquet_file import ParquetFile, load_pyarrow, parquet_writer
from mien.errors import InputError
from mien.files import check_destination, replaced_file, text_encoding

__all__ = ["ACTIONS", "CHECKS", "Finding", "image_id", "image_ids", "read_plan", "write_plan"]

CHECKS = (
    "leak", "leak_source", "exact_copy", "near_copy", "mirror_copy", "flat", "not_face", "wrong_label",
)  # fmt: skip
ACTIONS = ("keep", "drop", "relabel", "merge")
_NEEDED = ("check", "index", "action", "image_id")


@dataclass
class Finding:
    """One row of the plan.

    Attributes
    ----------
    check : str
        What was found; one of `CHECKS`. ``leak`` is an evaluation row with a copy in training, ``leak_source`` the
        training row that is the copy.
    rank : int
        From 1, the surest first, within the check.
    index : int
        The row in the dataset, from 0.
    name, split, label
        The row, for people.
    action : str
        What `mien data clean` shall do: ``keep``, ``drop``, ``relabel`` (to `new_label`), or ``merge`` (drop this
        row, a copy of `partner`, and let the copies agree on one label).
    new_label : str
        For ``relabel``.
    partner : int or None
        The row of which this one is a copy.
    partner_name : str
        The partner's name, for people; empty without a partner.
    kind : str
        Of copies: ``exact``, ``near`` or ``mirror``.
    score : float
        How sure the check is, in [0, 1]; of copies the correlation, of wrong labels one minus the label's quality.
    in_sample : bool
        Whether the model behind the score was trained on this row.
    note : str
        Why.
    image_id : str
        Digest of the image, so that a plan is never carried out on other rows.
    """

    check: str
    rank: int
    index: int
    name: str
    split: str
    label: str
    action: str
    new_label: str = ""
    partner: int | None = None
    partner_name: str = ""
    kind: str = ""
    score: float = 1.0
    in_sample: bool = False
    note: str = ""
    image_id: str = ""


def image_id(data: bytes) -> str:
    """A digest of an image's stored bytes: ``id-`` and 16 hexadecimal digits.

    Without the letters before it one in 800 looks like a number to spreadsheets (``6924e88308321665``), and comes back
    as another one.
    """
    return f"id-{blake2b(data, digest_size=8).hexdigest()}"


def image_ids(dataset: Dataset, index: Sequence[int]) -> dict[int, str]:
    """The digest of each of some rows' images; memory stays flat, however many there are."""
    return {row: image_id(data) for row, data in dataset.each_encoded(index)}


def write_plan(path: str | os.PathLike[str], findings: Sequence[Finding]) -> None:
    """Write a plan as Parquet, or as CSV where the name ends in ``.csv``; whole or not at all.

    Parameters
    ----------
    path : path
        Ends in ``.parquet`` or ``.csv``; an existing file is replaced.
    findings : sequence of Finding
        Such as `Audit.findings`; a row each.

    Raises
    ------
    UsageError, OutputError
        If nothing can be written there.
    """
    path = check_destination(path, ".csv", ".parquet")
    with replaced_file(path) as part:
        if path.suffix.lower() == ".csv":
            with part.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, [item.name for item in fields(Finding)])
                writer.writeheader()
                writer.writerows(asdict(finding) for finding in findings)
            return
        pa = load_pyarrow()
        schema = pa.schema([(item.name, _arrow_type(item.name, pa)) for item in fields(Finding)])
        with parquet_writer(part, schema) as writer:
            writer.write_table(pa.Table.from_pylist([asdict(finding) for finding in findings], schema=schema))


def read_plan(path: str | os.PathLike[str], labels: Sequence[str]) -> list[Finding]:
    """Read a plan that a person has edited.

    Parameters
    ----------
    path : path
        ``.parquet`` or ``.csv``.
    labels : sequence of str
        The dataset's classes.

    Raises
    ------
    InputError
        If it cannot be read, or a row makes no sense; the row is named.
    """
    path = Path(path)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(str(path), "expected a plan in .csv or .parquet; spreadsheets save it as 'CSV UTF-8'")
    rows = _read_csv(path) if path.suffix.lower() == ".csv" else _read_parquet(path)
    return [_finding(row, f"{path} row {number}", labels) for number, row in enumerate(rows)]


def _arrow_type(name: str, pa: Any) -> Any:
    if name in ("rank", "index", "partner"):
        return pa.int64()
    return {"score": pa.float64(), "in_sample": pa.bool_()}.get(name, pa.string())


def _read_csv(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(newline="", encoding=text_encoding(path)) as file:
            head = file.readline()
            file.seek(0)
            # Spreadsheets of many countries put semicolons between cells, and commas into numbers; what they save as
            # "Unicode text" has tabs.
            reader = csv.DictReader(file, delimiter=max(",;\t", key=head.count))
            _require_columns(path, list(reader.fieldnames or ()))
            return list(reader)
    except FileNotFoundError:
        raise InputError(str(path), "no such file; 'mien data audit DATASET --plan FILE' writes a plan") from None
    except UnicodeError as error:
        raise InputError(str(path), "is not UTF-8; save it as 'CSV UTF-8'") from error
    except (OSError, csv.Error) as error:
        raise InputError(str(path), f"cannot be read as a CSV plan ({error})") from error


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    pa = load_pyarrow()
    try:
        table = ParquetFile(path).read()
    except FileNotFoundError:
        raise InputError(str(path), "no such file; 'mien data audit DATASET --plan FILE' writes a plan") from None
    except (OSError, pa.ArrowException) as error:
        raise InputError(str(path), f"cannot be read as a Parquet plan ({str(error).splitlines()[0]})") from error
    _require_columns(path, table.column_names)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _require_columns(path: Path, names: Sequence[str]) -> None:
    """Even a plan without findings has these columns: a file that lacks them is something else."""
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise InputError(
            str(path),
            f"is no plan: it {'has no column ' + ', '.join(missing) if names else 'is empty'}; expected the columns of "
            "a plan of 'mien data audit'",
        )


def _finding(row: dict[str, Any], where: str, labels: Sequence[str]) -> Finding:
    missing = [name for name in _NEEDED if str(row.get(name, "")).strip().lower() in ("", "none", "nan")]
    if missing:
        raise InputError(where, f"has no {', '.join(missing)}; expected the columns of a plan of 'mien data audit'")
    finding = Finding(
        check=row["check"],
        rank=_whole(row, "rank", where) or 0,
        index=_whole(row, "index", where) or 0,
        action=str(row["action"]).strip().lower(),
        new_label=(row.get("new_label") or "").strip(),
        partner=_whole(row, "partner", where),
        score=_number(row, "score", where) or 0.0,
        in_sample=str(row.get("in_sample")).lower() == "true",
        image_id=row["image_id"],
        **{name: row.get(name) or "" for name in ("name", "split", "label", "partner_name", "kind", "note")},
    )
    _check(finding, where, labels)
    return finding


def _whole(row: dict[str, Any], column: str, where: str) -> int | None:
    """A whole number; 3.0 is one: data frames keep whole numbers as such where some cells of the column are empty."""
    number = _number(row, column, where)
    if number is not None and not number.is_integer():
        raise InputError(where, f"{column} is '{row[column]}'; expected a whole number")
    return None if number is None else int(number)


def _number(row: dict[str, Any], column: str, where: str) -> float | None:
    """A number, perhaps with a decimal comma; None where the cell is empty."""
    text = str("" if row.get(column) is None else row[column]).strip()
    if text.lower() in ("", "nan"):
        return None
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(where, f"{column} is '{text}'; expected a number")
    return number


def _check(finding: Finding, where: str, labels: Sequence[str]) -> None:
    if finding.action not in ACTIONS:
        raise InputError(where, f"action '{finding.action}'; expected one of {', '.join(ACTIONS)}")
    if finding.action == "relabel" and finding.new_label not in labels:
        raise InputError(where, f"relabel to '{finding.new_label}'; expected new_label as one of {', '.join(labels)}")
    if finding.action == "merge" and finding.partner is None:
        raise InputError(where, "merge without a partner; expected the row of which it is a copy")
