// What the camera showed since the page was opened: one recording, however often the connection or the tracks begin anew.

import { records } from "./table.js";

const MAX_ROWS = 50_000;

const rounded = (seconds) => Number(seconds.toFixed(6));

export class Recording {
  constructor() {
    this.rows = [];
    this.last = { frame: -1, time_s: 0, person: 0 };  // the highest so far
    this.reconnected();
  }

  get full() { return this.rows.length >= MAX_ROWS; }

  // The server counts frames and seconds from 0 for each connection.
  reconnected() {
    this.from = { frame: this.last.frame + 1, time_s: null };
    this.tracksBegin();
  }

  // The server numbers persons from 1 again.
  tracksBegin() { this.from.person = this.last.person; }

  // Numbers and times that go on from what was before. `takenMs` is when the frame was taken, on the page's clock.
  goOn(reading, takenMs) {
    const { from, last } = this;
    this.beganMs ??= takenMs;
    from.time_s ??= Math.max(last.time_s, (takenMs - this.beganMs) / 1000) - reading.time_s;
    const frame = from.frame + reading.frame;
    const time_s = rounded(from.time_s + reading.time_s);
    const faces = reading.faces.map((face) => ({ ...face, track_id: face.track_id && from.person + face.track_id }));
    last.frame = Math.max(last.frame, frame);
    last.time_s = Math.max(last.time_s, time_s);
    last.person = Math.max(last.person, ...faces.map((face) => face.track_id ?? 0));
    return { ...reading, frame, time_s, faces };
  }

  add(reading) {
    if (!this.full) this.rows.push(...records(reading));
  }

  clear() { this.rows = []; }
}
