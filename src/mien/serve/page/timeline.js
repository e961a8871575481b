// The last minute as stacked areas, a lane for each person.

import { colorOf } from "./draw.js";

const SPAN_MS = 60_000;
const LANES = 3;
const MERGE_MS = 120;  // one point in so much time: a minute needs no more

export class Timeline {
  constructor(canvas) {
    this.canvas = canvas;
    this.people = new Map();  // track id -> [{ t, shares: { label: share } }]
    this.labels = [];
    this.drawnMs = 0;
  }

  clear() {
    this.people.clear();
    this.draw();
  }

  add(reading, labels) {
    const now = performance.now();
    this.labels = labels;
    reading.faces.forEach((face, index) => {
      const id = face.track_id ?? index + 1;
      const points = this.people.get(id) ?? [];
      if (!this.people.has(id)) this.people.set(id, points);
      if (!points.length || now - points.at(-1).t > MERGE_MS) points.push({ t: now, shares: face.probabilities });
      while (points.length && now - points[0].t > SPAN_MS + 1000) points.shift();
    });
    if (now - this.drawnMs > 100) this.draw();
  }

  draw() {
    const now = performance.now();
    this.drawnMs = now;
    const { canvas } = this;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.round(canvas.clientWidth * ratio);
    const height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    context.clearRect(0, 0, width, height);
    for (const [id, points] of this.people) {
      if (!points.length || now - points.at(-1).t > SPAN_MS) this.people.delete(id);
    }
    // Those seen most have the lanes, in the order of their numbers.
    const shown = [...this.people].filter(([, points]) => points.length > 1).sort((a, b) => b[1].length - a[1].length).slice(0, LANES);
    shown.sort((a, b) => a[0] - b[0]);
    const foot = 18 * ratio;
    const name = 26 * ratio;
    const lane = (height - foot) / Math.max(1, shown.length);
    const at = (t) => name + (width - name) * (1 - (now - t) / SPAN_MS);
    context.font = `${12 * ratio}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    const grid = style.getPropertyValue("--line");
    const soft = style.getPropertyValue("--soft");
    for (let s = 60; s >= 0; s -= 15) {
      const x = at(now - s * 1000);
      context.fillStyle = grid;
      context.fillRect(Math.round(x) - (s === 0 ? ratio : 0), 0, ratio, height - foot);
      context.fillStyle = soft;
      context.textAlign = s === 60 ? "left" : s === 0 ? "right" : "center";
      context.fillText(s === 0 ? "now" : `−${s} s`, x, height - foot / 2 + ratio);
    }
    context.textAlign = "left";
    shown.forEach(([id, points], row) => {
      const top = row * lane + 2 * ratio;
      const tall = lane - 4 * ratio;
      context.fillStyle = soft;
      context.fillText(String(id), 4 * ratio, top + tall / 2);
      context.save();
      context.beginPath();
      context.rect(name, top, width - name, tall);
      context.clip();
      for (const run of runs(points)) this.area(context, run, at, top, tall);
      context.restore();
    });
  }

  area(context, run, at, top, tall) {
    const below = run.map(() => 0);
    for (const label of this.labels) {
      const above = run.map((point, i) => below[i] + (point.shares[label] ?? 0));
      context.fillStyle = colorOf(label);
      context.beginPath();
      run.forEach((point, i) => context.lineTo(at(point.t), top + tall * (1 - above[i])));
      for (let i = run.length - 1; i >= 0; i -= 1) context.lineTo(at(run[i].t), top + tall * (1 - below[i]));
      context.closePath();
      context.fill();
      above.forEach((value, i) => { below[i] = value; });
    }
  }
}

// A person who was away leaves a gap.
function* runs(points) {
  let run = [];
  for (const point of points) {
    if (run.length && point.t - run.at(-1).t > 1500) {
      yield run;
      run = [];
    }
    run.push(point);
  }
  if (run.length) yield run;
}
