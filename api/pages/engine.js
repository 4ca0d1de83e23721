/** The two ways a browser plays HLS: hls.js where there is MSE, the browser's own where not. */

const HLS_JS = new URL("../vendor/hls.js/hls.min.js", import.meta.url).href;

/** Segments of 2 s: three of them between viewer and edge ride out a late one. */
const LIVE_SYNC_SECONDS = 6;
/** As long as the live playlist: what one may go back. */
const BACK_SECONDS = 60;
/** Retries of one playlist or segment before hls.js calls it fatal; then we wait and go on. */
const RETRIES = { maxNumRetry: 4, retryDelayMs: 1000, maxRetryDelayMs: 4000, backoff: "exponential" };
/** After a fatal network error: 1, 2, 4, 8, 8 ... seconds for as long as the show is on. */
const RESTART_MS_MAX = 8000;
/** Media errors that are recovered in place within MEDIA_WINDOW_MS; the next one rebuilds all. */
const MEDIA_RECOVERIES = 3;
const MEDIA_WINDOW_MS = 60_000;

/** How often a browser that took a stall for the end looks whether it was one. */
const FOLLOW_MS = 2000;

let loading = null;

/**
 * Return the engine class this browser needs, loading hls.js when it is the one; null when that
 * cannot be loaded now, undefined when there is no way to play.
 */
export async function engineClass(video) {
  const hasMse = "MediaSource" in window || "ManagedMediaSource" in window;
  if (hasMse) {
    loading ??= loadScript(HLS_JS);
    try {
      await loading;
      if (window.Hls?.isSupported()) return HlsEngine;
    } catch {
      loading = null; // the next attempt loads it again
    }
  }
  if (video.canPlayType("application/vnd.apple.mpegurl")) return NativeEngine;
  return hasMse ? null : undefined;
}

/** Plays one address through hls.js; `onDead` is called when it needs to be built anew. */
export class HlsEngine {
  #hls;
  #url;
  #onDead;
  #restarts = 0;
  #recoveries = [];
  #timer = 0;
  #isManifestRead = false;

  constructor(video, url, { isLive, onDead }) {
    this.#url = url;
    this.#onDead = onDead;
    const policy = (maxTimeToFirstByteMs) => ({
      default: {
        maxTimeToFirstByteMs,
        maxLoadTimeMs: 20_000,
        timeoutRetry: RETRIES,
        // By default a 404, or a server that is gone for a moment, is fatal at once.
        errorRetry: { ...RETRIES, shouldRetry: (config, tries) => tries < config.maxNumRetry },
      },
    });
    const Hls = window.Hls;
    this.#hls = new Hls({
      liveSyncDuration: LIVE_SYNC_SECONDS,
      liveDurationInfinity: isLive,
      backBufferLength: isLive ? BACK_SECONDS : 30,
      manifestLoadPolicy: policy(8000),
      playlistLoadPolicy: policy(8000),
      fragLoadPolicy: policy(10_000),
      startPosition: isLive ? -1 : 0,
    });
    this.#hls.on(Hls.Events.MANIFEST_PARSED, () => (this.#isManifestRead = true));
    this.#hls.on(Hls.Events.FRAG_BUFFERED, () => (this.#restarts = 0));
    this.#hls.on(Hls.Events.ERROR, (_, error) => error.fatal && this.#recover(error));
    this.#hls.loadSource(url);
    this.#hls.attachMedia(video);
  }

  /** Where a viewer at the edge of the live show is; null when there is no such place. */
  get liveSeconds() {
    const isLive = this.#hls.latestLevelDetails?.live ?? false;
    return isLive ? this.#hls.liveSyncPosition : null;
  }

  /** End of what the playlist offers. */
  get edgeSeconds() {
    return this.#hls.latestLevelDetails?.edge ?? 0;
  }

  /** Whether a picture that has come to its end is the show's end. */
  get isComplete() {
    return this.#hls.latestLevelDetails?.live === false;
  }

  destroy() {
    clearTimeout(this.#timer);
    this.#hls.destroy();
  }

  #recover(error) {
    const { NETWORK_ERROR, MEDIA_ERROR } = window.Hls.ErrorTypes;
    if (error.type === NETWORK_ERROR) {
      this.#restart();
    } else if (error.type === MEDIA_ERROR && this.#mayRecover()) {
      this.#hls.recoverMediaError();
    } else {
      this.#onDead(error.details);
    }
  }

  #restart() {
    const pauseMs = Math.min(1000 * 2 ** this.#restarts, RESTART_MS_MAX);
    this.#restarts += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#isManifestRead) this.#hls.startLoad();
      else this.#hls.loadSource(this.#url);
    }, pauseMs);
  }

  #mayRecover() {
    const now = performance.now();
    this.#recoveries = this.#recoveries.filter((at) => now - at < MEDIA_WINDOW_MS);
    this.#recoveries.push(now);
    return this.#recoveries.length <= MEDIA_RECOVERIES;
  }
}

/** Plays one address by the browser's own means (older Safari on phones). */
export class NativeEngine {
  isComplete = false;

  #video;
  #url;
  #isLive;
  #onDead;
  #onEnd;
  #timer = 0;
  #known = null;
  #error = () => this.#onDead();
  #ended = () => this.#isLive && this.#follow();

  constructor(video, url, { isLive, onDead, onEnd }) {
    this.#video = video;
    this.#url = url;
    this.#isLive = isLive;
    this.#onDead = onDead;
    this.#onEnd = onEnd;
    this.isComplete = !isLive;
    video.addEventListener("error", this.#error);
    video.addEventListener("ended", this.#ended);
    video.src = url;
  }

  get liveSeconds() {
    if (!this.#isLive || Number.isFinite(this.#video.duration)) return null;
    return Math.max(0, this.edgeSeconds - LIVE_SYNC_SECONDS);
  }

  get edgeSeconds() {
    const { seekable } = this.#video;
    return seekable.length ? seekable.end(seekable.length - 1) : 0;
  }

  destroy() {
    clearTimeout(this.#timer);
    this.#video.removeEventListener("error", this.#error);
    this.#video.removeEventListener("ended", this.#ended);
    this.#video.removeAttribute("src");
    this.#video.load();
  }

  /** A stalled playlist can pass for its end: look whether it goes on, and keep the picture. */
  async #follow() {
    try {
      const text = await (await fetch(this.#url, { cache: "no-store", credentials: "omit" })).text();
      if (text.includes("#EXT-X-ENDLIST")) {
        this.isComplete = true;
        this.#onEnd();
        return;
      }
      this.#known ??= text;
      if (text.startsWith("#EXTM3U") && text !== this.#known) {
        this.#onDead();
        return;
      }
    } catch {
      // Asked again below.
    }
    this.#timer = setTimeout(() => this.#follow(), FOLLOW_MS);
  }
}

function loadScript(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.onload = resolve;
    script.onerror = () => {
      script.remove();
      reject(new Error(`cannot load ${address}`));
    };
    document.head.append(script);
  });
}
