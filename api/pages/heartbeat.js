/** Let the API count this viewer while something is played. */

/** Seen within 15 s: one beat may get lost. */
const EVERY_MS = 10_000;
/** Pausing and going on does not beat faster than this. */
const BEAT_MS_MIN = 4000;
const HEADER = "X-Greenroom-Viewer";

export class Heartbeat {
  #url;
  #kept;
  #mark;
  #timer = 0;
  #beatAt = -Infinity;

  constructor(url, sessionId) {
    this.#url = url;
    this.#kept = `greenroom-viewer:${sessionId}`;
    this.#mark = recall(this.#kept);
  }

  /** Beat at once, and then every ten seconds; harmless when it beats already. */
  start() {
    if (this.#timer) return;
    this.#timer = setInterval(() => this.#beat(), EVERY_MS);
    if (performance.now() - this.#beatAt > BEAT_MS_MIN) this.#beat();
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
  }

  async #beat() {
    this.#beatAt = performance.now();
    try {
      const response = await fetch(this.#url, {
        method: "POST",
        headers: this.#mark ? { [HEADER]: this.#mark } : {},
        credentials: "omit",
        signal: AbortSignal.timeout(EVERY_MS),
      });
      if (response.ok) this.#keep(response.headers.get(HEADER) ?? this.#mark);
      // A mark that is not accepted is thrown away: the next beat asks for a new one.
      else if ([400, 401, 403, 422].includes(response.status)) this.#keep(null);
    } catch {
      // The next beat is another chance; the show goes on either way.
    }
  }

  #keep(mark) {
    this.#mark = mark;
    try {
      if (mark) sessionStorage.setItem(this.#kept, mark);
      else sessionStorage.removeItem(this.#kept);
    } catch {
      // Storage can be forbidden: then a reload counts as a new viewer.
    }
  }
}

function recall(key) {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}
