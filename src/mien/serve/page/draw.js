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
  const { faces } = reading;
  const boxes = faces.map(({ box_xyxy: [left, top, right, bottom] }) => ({
    x: x + (mirror ? width - right : left) * scale, y: y + top * scale, w: (right - left) * scale, h: (bottom - top) * scale,
  }));
  faces.forEach((face, index) => corners(context, boxes[index], colorOf(face.expression), unit));
  const names = faces.map((face, index) => face.track_id ?? (faces.length > 1 ? index + 1 : null));
  const words = faces.map((face) => `${face.expression} ${percent(face.confidence)}`);
  // A tag covers no other tag and no other face. First everybody gets a number, then those get words who have the room.
  const tags = faces.map(() => null);
  for (const texts of [names.map((name, i) => String(name ?? words[i])), words.map((word, i) => (names[i] === null ? word : `${names[i]}  ${word}`))]) {
    faces.forEach((face, index) => {
      const others = [...boxes, ...tags].filter((other, i) => other && i % faces.length !== index);
      const free = places(context, boxes[index], texts[index], unit).find((place) => !others.some((other) => overlap(place, other)));
      tags[index] = free ?? tags[index];
    });
  }
  tags.forEach((place, index) => { if (place) tag(context, place, colorOf(faces[index].expression)); });
}

const overlap = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

function corners(context, { x, y, w, h }, color, unit) {
  const arm = Math.min(w, h) * 0.22;
  const radius = Math.min(arm, 9 * unit);
  const thick = Math.min(3.2 * unit, Math.max(1.2 * unit, w / 9));  // thin around a small face
  const strokes = [["#0007", 1.9 * thick], [color, thick]];
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

// Where a tag with this text may stand: above its face, or below it; inside the picture in any case. Small faces have
// small ones, so that it is seen whose they are.
function places(context, box, text, unit) {
  const size = Math.max(10 * unit, Math.min(15 * unit, box.w / 2.5));
  context.font = `600 ${size}px system-ui, sans-serif`;
  const w = context.measureText(text).width + size * 1.1;
  const h = size * 1.65;
  const x = Math.max(4, Math.min(box.x + box.w / 2 - w / 2, context.canvas.width - w - 4));
  const above = box.y - h - size / 2;
  const below = Math.min(box.y + box.h + size / 2, context.canvas.height - h - 4);
  return (above < 4 ? [below] : [above, below]).map((y) => ({ x, y, w, h, text, size }));
}

function tag(context, { x, y, w, h, text, size }, color) {
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  context.fillStyle = color;
  context.beginPath();
  context.roundRect(x, y, w, h, h / 2);
  context.fill();
  context.fillStyle = inkOn(color);
  context.fillText(text, x + size * 0.55, y + h / 2 + size * 0.04);
}

export function element(tagName, className, text) {
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
