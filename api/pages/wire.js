/** Hear what happens in the show as it happens: server-sent events, taken up again where they end. */

import { Unreachable } from "./account.js";

/** The API breaks its silence every 15 s; after twice that and more, the line is dead. */
const SILENCE_MS = 40_000;
/** Between two attempts: 0.5, 1, 2, 4, 8, 8 ... seconds. */
const PAUSE_MS_MIN = 500;
const PAUSE_MS_MAX = 8000;
/** One line that ended is not worth a word: it is taken up within a second. */
const FAILURES_TOLD = 2;

/**
 * `heard.event(event)` for each event of the timeline, `heard.state(state)` for each state, and
 * `heard.reading(word)`: "ok", "away" (the API does not answer), "missing" (no such show),
 * "forbidden" (somebody else's show).
 */
export class Wire {
  #path;
  #account;
  #heard;
  #newest = 0;
  #isOn = false;
  #abort = null;
  #wake = () => {};

  constructor(path, account, heard) {
    this.#path = path;
    this.#account = account;
    this.#heard = heard;
    addEventListener("online", () => this.#wake());
    document.addEventListener("visibilitychange", () => document.hidden || this.#wake());
  }

  start() {
    if (this.#isOn) return;
    this.#isOn = true;
    this.#run();
  }

  stop() {
    this.#isOn = false;
    this.#abort?.abort();
    this.#wake();
  }

  async #run() {
    let failures = 0;
    while (this.#isOn) {
      const end = await this.#listen(() => (failures = 0));
      if (!this.#isOn) return;
      if (["missing", "forbidden", "locked"].includes(end.word)) {
        this.#isOn = false;
        if (end.word !== "locked") this.#heard.reading(end.word);
        return;
      }
      if (end.word === "away") {
        failures += 1;
        if (failures >= FAILURES_TOLD) this.#heard.reading("away");
      }
      const pauseMs = Math.min(PAUSE_MS_MIN * 2 ** failures, PAUSE_MS_MAX);
      await this.#pause(Math.max(pauseMs, 1000 * (end.seconds ?? 0)));
    }
  }

  /** Listen to one answer until it ends; say how it ended. */
  async #listen(onLife) {
    const abort = (this.#abort = new AbortController());
    let watch = setTimeout(() => abort.abort(), SILENCE_MS);
    const isAlive = () => {
      clearTimeout(watch);
      watch = setTimeout(() => abort.abort(), SILENCE_MS);
    };
    try {
      const answer = await this.#account.fetch("GET", this.#path, {
        headers: { Accept: "text/event-stream", "Last-Event-ID": String(this.#newest) },
        signal: abort.signal,
      });
      if (!answer.ok) return endOf(answer);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      const parts = new Parts();
      while (true) {
        const { value, done } = await reader.read();
        if (done) return { word: "ended" };
        isAlive();
        for (const part of parts.read(value)) {
          onLife();
          this.#take(part);
        }
      }
    } catch (error) {
      if (error.status === 401) return { word: "locked" };
      if (!(error instanceof Unreachable)) console.info("The line broke:", error.message);
      return { word: "away" };
    } finally {
      clearTimeout(watch);
      abort.abort();
    }
  }

  #take({ name, data, id }) {
    const told = JSON.parse(data);
    if (name === "timeline") {
      if (told.seq <= this.#newest) return; // heard before
      this.#newest = Number(id);
      this.#heard.event(told);
    } else if (name === "state") {
      this.#heard.reading("ok");
      this.#heard.state(told);
    }
  }

  /** Wait, or less when the browser is online again or somebody looks at the page again. */
  #pause(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms * (0.9 + 0.2 * Math.random()));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Puts the pieces of a stream together again (the HTML standard, 9.2.6). */
export class Parts {
  #rest = "";
  #part = { name: "message", data: [], id: null };

  /** The whole events in what has come so far; a piece may end anywhere. */
  *read(text) {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line.trim() === "") {
        if (this.#part.data.length) yield { ...this.#part, data: this.#part.data.join("\n") };
        this.#part = { name: "message", data: [], id: null };
        continue;
      }
      const [, field, value] = /^([^:]*):? ?(.*?)\r?$/.exec(line);
      if (field === "event") this.#part.name = value;
      else if (field === "data") this.#part.data.push(value);
      else if (field === "id") this.#part.id = value;
    }
  }
}

async function endOf(answer) {
  if ([400, 404, 410].includes(answer.status)) return { word: "missing" };
  if (answer.status === 403) return { word: "forbidden" };
  return { word: "away", seconds: Number(answer.headers.get("Retry-After")) || 0 };
}
