// Colours, boxes on pictures, and a person's card with its bars.

let colors = {};

export function setColors(map) { colors = map; }

export function colorOf(label) {
  return colors[label] ?? `hsl(${[...label].reduce((sum, c) => sum + c.charCodeAt(0) * 37, 0) % 360} 45% 52%)`;
}

function inkOn(color) {
  const match = /^#(..)(..)(..)$/.exec(color);
  if (!match) return "#fff";
  const [r, g, b] = match.slice(1).map((hex) => {
    const value = parseInt(hex, 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

export const percent = (share) => `${Math.round(share * 100)} %`;

// Where a picture of size w x h lies in a canvas when it is shown whole ("object-fit: contain").
export function fit(canvas, [w, h]) {
  const scale = Math.min(canvas.width / w, canvas.height / h);
  return { scale, x: (canvas.width - w * scale) / 2, y: (canvas.height - h * scale) / 2 };
}

export function drawFaces(context, reading, { scale, x, y }, { mirror = false, unit = 1 } = {}) {
  const width = reading.size_wh[0];
  reading.faces.forEach((face, index) => {
    let [left, top, right, bottom] = face.box_xyxy;
    if (mirror) [left, right] = [width - right, width - left];
    const box = { x: x + left * scale, y: y + top * scale, w: (right - left) * scale, h: (bottom - top) * scale };
    const color = colorOf(face.expression);
    corners(context, box, color, unit);
    const name = face.track_id ?? (reading.faces.length > 1 ? index + 1 : null);
    tag(context, box, `${name === null ? "" : `${name}  `}${face.expression} ${percent(face.confidence)}`, color, unit);
  });
}

function corners(context, { x, y, w, h }, color, unit) {
  const arm = Math.min(w, h) * 0.22;
  const radius = Math.min(arm, 9 * unit);
  const strokes = [["#0007", 6 * unit], [color, 3.2 * unit]];
  context.lineCap = "round";
  for (const [style, line] of strokes) {
    context.strokeStyle = style;
    context.lineWidth = line;
    context.beginPath();
    for (const [cx, cy, dx, dy] of [[x, y, 1, 1], [x + w, y, -1, 1], [x + w, y + h, -1, -1], [x, y + h, 1, -1]]) {
      context.moveTo(cx, cy + dy * arm);
      context.lineTo(cx, cy + dy * radius);
      context.quadraticCurveTo(cx, cy, cx + dx * radius, cy);
      context.lineTo(cx + dx * arm, cy);
    }
    context.stroke();
  }
}

function tag(context, box, text, color, unit) {
  const size = 15 * unit;
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const width = context.measureText(text).width + size * 1.1;
  const height = size * 1.65;
  let x = box.x + box.w / 2 - width / 2;
  let y = box.y - height - 8 * unit;
  x = Math.max(4, Math.min(x, context.canvas.width - width - 4));
  if (y < 4) y = Math.min(box.y + box.h + 8 * unit, context.canvas.height - height - 4);
  context.fillStyle = color;
  context.beginPath();
  context.roundRect(x, y, width, height, height / 2);
  context.fill();
  context.fillStyle = inkOn(color);
  context.fillText(text, x + size * 0.55, y + height / 2 + size * 0.04);
}

function element(tagName, className, text) {
  const made = document.createElement(tagName);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// A card with a bar for each label; `update` moves the bars at once and the figures a few times a second.
export class PersonCard {
  constructor(name, tagName = "li") {
    this.root = element(tagName, "person");
    const header = element("header");
    this.dot = element("span", "dot");
    this.word = element("b");
    this.share = element("span");
    header.append(this.dot, this.word, element("span", "", name), this.share);
    this.list = element("ul", "bars");
    this.root.append(header, this.list);
    this.rows = new Map();
    this.saidMs = 0;
  }

  update(face) {
    const labels = Object.keys(face.probabilities);
    if (labels.join() !== [...this.rows.keys()].join()) this.build(labels);
    const now = performance.now();
    const speak = now - this.saidMs > 120;
    if (speak) this.saidMs = now;
    for (const [label, share] of Object.entries(face.probabilities)) {
      const row = this.rows.get(label);
      row.bar.style.setProperty("--share", share.toFixed(4));
      if (speak) {
        row.value.textContent = percent(share);
        row.item.dataset.top = String(label === face.expression);
      }
    }
    if (speak) {
      this.dot.style.setProperty("--tint", colorOf(face.expression));
      this.word.textContent = face.expression;
      this.share.textContent = percent(face.confidence);
    }
  }

  build(labels) {
    this.saidMs = 0;
    this.rows.clear();
    this.list.replaceChildren(...labels.map((label) => {
      const item = element("li");
      const bar = element("i");
      bar.setAttribute("aria-hidden", "true");
      bar.style.setProperty("--tint", colorOf(label));
      const value = element("span");
      item.append(element("span", "", label), bar, value);
      this.rows.set(label, { item, bar, value });
      return item;
    }));
  }
}

export function describe(reading) {
  if (!reading.faces.length) return "Nobody in view";
  const each = reading.faces.map((face) => `${face.expression} ${percent(face.confidence)}`);
  return `${reading.faces.length === 1 ? "1 person" : `${reading.faces.length} people`}: ${each.join(", ")}`;
}
