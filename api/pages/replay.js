/** Find out whether a show that is over can be watched again: its `full.m3u8`. */

/** The whole show is joined within a minute or so; later than this it will not come any more. */
const PREPARING_MS_MAX = 15 * 60_000;
const FIRST_PAUSE_MS = 3000;
const PAUSE_MS_MAX = 30_000;
const PATIENCE_MS = 10_000;
/** That often in a row no answer means nothing; then it counts as "not there". */
const FAILURES_MAX = 5;

export class Replay {
  /** unknown | preparing | ready | none */
  state = "unknown";
  /** How long the show is, when it is ready. */
  seconds = 0;
  /** Address of the playlist, when it is ready. */
  url = null;

  #tell;
  #isLooking = false;
  #pauseMs = FIRST_PAUSE_MS;
  #began = Date.now();
  #failures = 0;

  /** `tell()` is called whenever `state` has changed. */
  constructor(tell) {
    this.#tell = tell;
  }

  /** Look for the replay of a show that is over; harmless to repeat. */
  async look(show, now) {
    if (this.#isLooking || this.state === "ready" || this.state === "none") return;
    if (!show.hls_url || show.recording_enabled === false || show.playback?.segments === 0) {
      this.#become("none");
      return;
    }
    this.#isLooking = true;
    const url = new URL("full.m3u8", new URL(show.hls_url, location.href)).href;
    const seconds = await secondsOf(url);
    this.#isLooking = false;
    const isUnanswered = seconds === null && this.#failures < FAILURES_MAX;
    this.#failures = isUnanswered ? this.#failures + 1 : 0;
    if (seconds > 0) {
      this.url = url;
      this.seconds = seconds;
      this.#become("ready");
      return;
    }
    const ended = show.ended_at ? Date.parse(show.ended_at) : this.#began;
    if (!isUnanswered) {
      this.#become(now - ended > PREPARING_MS_MAX ? "none" : "preparing");
      if (this.state === "none") return;
    }
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(pauseMs * 1.5, PAUSE_MS_MAX);
    setTimeout(() => this.look(show, now + pauseMs), pauseMs);
  }

  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.#tell();
  }
}

/** Length of a finished playlist in seconds; 0 when there is none yet, null without an answer. */
async function secondsOf(url) {
  try {
    const response = await fetch(url, {
      cache: "no-store",
      credentials: "omit",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (response.status >= 500) return null;
    if (!response.ok) return 0;
    const text = await response.text();
    if (!text.includes("#EXT-X-ENDLIST")) return 0;
    return [...text.matchAll(/^#EXTINF:([\d.]+)/gm)].reduce((sum, found) => sum + +found[1], 0);
  } catch {
    return null;
  }
}
