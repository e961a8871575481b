// The table for download: the rows of 'mien recognize --out', as CSV or JSON.

const POINTS = ["left_eye", "right_eye", "nose", "left_mouth", "right_mouth"];

export function records(reading) {
  const { source, frame, time_s, turned_deg } = reading;
  return reading.faces.map((face, index) => ({ source, frame, time_s, turned_deg, face: index + 1, ...face }));
}

function flat(record) {
  const row = {};
  for (const [key, value] of Object.entries(record)) {
    if (key === "box_xyxy") ["x1", "y1", "x2", "y2"].forEach((name, i) => { row[`box_${name}`] = value[i]; });
    else if (key === "landmarks_xy") {
      POINTS.forEach((name, i) => { [row[`${name}_x`], row[`${name}_y`]] = value[i] ?? [null, null]; });
    } else if (key === "probabilities") {
      for (const [label, share] of Object.entries(value)) row[`probability_${label}`] = share;
    } else row[key] = value;
  }
  return row;
}

function cell(value) {
  let text = String(value ?? "");
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;  // no formula in a spreadsheet
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function toCsv(all) {
  const rows = all.map(flat);
  const columns = [...new Set(rows.flatMap(Object.keys))];
  return [columns, ...rows.map((row) => columns.map((name) => row[name]))]
    .map((cells) => `${cells.map(cell).join(",")}\r\n`).join("");
}

export function save(name, kind, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function saveCsv(name, all) { save(`${name}.csv`, "text/csv", toCsv(all)); }
export function saveJson(name, all) { save(`${name}.json`, "application/json", `${JSON.stringify(all, null, 1)}\n`); }
