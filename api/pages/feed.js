/** Ask the API how the show is, again and again: sooner when it matters, later when it fails. */

/** Milliseconds until the next look; a viewer should see a change within three seconds. */
const PAUSES = { soon: 2500, later: 8000, never: Infinity };
/** A page that nobody looks at and nothing plays on does not need to know at once. */
const HIDDEN_MS = 15_000;
/** A server in trouble is not helped by its audience. */
const FAILING_MS_MAX = 30_000;
/** An answer this late is no answer. */
const PATIENCE_MS = 8000;
/** One lost answer is not worth a word to the viewer. */
const FAILURES_TOLD = 2;
/** The envelope's clock has whole seconds; only a viewer's clock that is really off is corrected. */
const SKEW_MS_MIN = 5000;

export class Feed {
  #url;
  #tell;
  #etag = null;
  #session = null;
  #timer = 0;
  #failures = 0;
  #isLooking = false;
  #pace = "soon";

  /** What to add to the viewer's clock. */
  skewMs = 0;
  /** Set by the page: whether somebody hears or sees it although it is hidden. */
  isPlaying = () => false;

  /** `tell({reading: "ok" | "missing" | "unreachable", session})` is called after every look. */
  constructor(url, tell) {
    this.#url = url;
    this.#tell = tell;
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#plan(0);
    });
    addEventListener("online", () => this.#plan(0));
  }

  start() {
    this.#look();
  }

  /** "soon", "later" or "never": a word of PAUSES. */
  set pace(pace) {
    if (pace === this.#pace) return;
    this.#pace = pace;
    this.#plan();
  }

  #plan(pauseMs = this.#pause()) {
    clearTimeout(this.#timer);
    if (this.#pace === "never" || this.#isLooking) return;
    this.#timer = setTimeout(() => this.#look(), pauseMs);
  }

  #pause() {
    const quiet = document.hidden && !this.isPlaying() ? HIDDEN_MS : 0;
    const failing = this.#failures ? Math.min(1000 * 2 ** this.#failures, FAILING_MS_MAX) : 0;
    // Spread over a fifth: an audience that arrived together should not ask together.
    return Math.max(PAUSES[this.#pace], quiet, failing) * (0.9 + 0.2 * Math.random());
  }

  async #look() {
    if (this.#isLooking) return;
    this.#isLooking = true;
    let reading;
    try {
      reading = await this.#ask();
      this.#failures = reading === "unreachable" ? this.#failures + 1 : 0;
    } catch {
      reading = "unreachable";
      this.#failures += 1;
    } finally {
      this.#isLooking = false;
    }
    if (reading !== "unreachable" || this.#failures >= FAILURES_TOLD || !this.#session) {
      this.#tell({ reading, session: this.#session });
    }
    this.#plan();
  }

  async #ask() {
    const headers = { Accept: "application/json" };
    if (this.#etag) headers["If-None-Match"] = this.#etag;
    const response = await fetch(this.#url, {
      headers,
      cache: "no-store",
      credentials: "omit",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (response.status === 304) return "ok";
    // 400 is an id that is no id, 410 a show that was deleted: nothing to wait for either.
    if ([400, 404, 410].includes(response.status)) return "missing";
    if (!response.ok) return "unreachable";
    const { data, timestamp } = await response.json();
    this.#etag = response.headers.get("ETag");
    this.#session = data;
    const skewMs = timestamp * 1000 + 500 - Date.now();
    this.skewMs = Math.abs(skewMs) > SKEW_MS_MIN ? skewMs : 0;
    return "ok";
  }
}
