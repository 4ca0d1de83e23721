/** One picture that keeps playing: start, interruptions, rebuilding; what is heard and how late. */

import { engineClass } from "./engine.js";

/** Milliseconds between two looks at whether playback advances. */
const LOOK_MS = 500;
/** A viewer this far behind the live place is told, and can catch up. */
const BEHIND_SECONDS = 6;
/** Stuck this long although the playlist offers more: build the player anew. */
const STUCK_MS = 10_000;
/** What a playlist must offer beyond the stuck place to call it stuck. */
const OFFERED_SECONDS = 4;
/** Between two rebuilds: 1, 2, 4, 8, 16 seconds; after the last one the viewer is asked. */
const REBUILDS_MAX = 5;
/** Playing this long means that the rebuild helped. */
const HEALTHY_MS = 15_000;

/**
 * `state` is one of
 *   idle      nothing to play
 *   loading   no picture yet
 *   playing, paused (by the viewer), waiting (no data), ended
 *   blocked   the browser wants a click first
 *   broken    given up; `retry()` tries again
 * A "change" event tells that state, `isSilenced` or `behindSeconds` changed.
 */
export class Player extends EventTarget {
  /** Whether the browser allowed to start only without sound. */
  isSilenced = false;
  /** Seconds behind the live place, when it is worth a word; else 0. */
  behindSeconds = 0;
  state = "idle";

  #video;
  #engine = null;
  #source = null;
  #wantsToPlay = false;
  #generation = 0;
  #rebuilds = 0;
  #rebuildTimer = 0;
  #place = { seconds: 0, at: 0, since: 0 };

  constructor(video) {
    super();
    this.#video = video;
    const on = (name, act) => video.addEventListener(name, () => this.#source && act());
    on("playing", () => this.#become("playing"));
    on("waiting", () => this.state === "playing" && this.#become("waiting"));
    on("pause", () => {
      if (video.ended || this.state === "loading") return; // not the viewer's doing
      this.#wantsToPlay = false;
      this.#become("paused");
    });
    on("play", () => {
      this.#wantsToPlay = true;
      if (this.state === "paused") this.#become(video.readyState > 2 ? "playing" : "waiting");
    });
    on("ended", () => this.#become(this.#engine?.isComplete === false ? "waiting" : "ended"));
    on("volumechange", () => {
      if (!video.muted) this.isSilenced = false;
      this.#tell();
    });
    setInterval(() => this.#look(), LOOK_MS);
  }

  /** "live", "replay" or null. */
  get plays() {
    return this.#source?.kind ?? null;
  }

  /** Whether the viewer follows: plays, or waits for data and would play. */
  get isFollowed() {
    return this.#wantsToPlay && ["playing", "waiting"].includes(this.state);
  }

  /** Whether a live show is on the screen whose last seconds are still to come. */
  get isPlayingOut() {
    return this.plays === "live" && this.isFollowed;
  }

  /** Play this; harmless when it is played already. */
  play(kind, url) {
    if (this.#source?.kind === kind && this.#source.url === url) return;
    this.stop();
    this.#source = { kind, url };
    this.#wantsToPlay = true;
    this.#rebuilds = 0;
    this.#become("loading");
    this.#build();
  }

  stop() {
    this.#generation += 1;
    clearTimeout(this.#rebuildTimer);
    this.#engine?.destroy();
    this.#engine = null;
    this.#source = null;
    this.#wantsToPlay = false;
    this.behindSeconds = 0;
    this.isSilenced = false;
    this.#become("idle");
  }

  /** Try again after `broken`, or start after `blocked`. */
  retry() {
    if (this.state === "broken") {
      this.#rebuilds = 0;
      this.#rebuild();
    } else {
      this.#begin();
    }
  }

  toggle() {
    if (this.state === "broken" || this.state === "blocked") this.retry();
    else if (this.#video.ended) this.seek(0);
    else if (this.#video.paused) this.#begin();
    else this.#video.pause();
  }

  unmute() {
    this.#video.muted = false;
    if (this.#video.volume === 0) this.#video.volume = 1;
    this.isSilenced = false;
    if (this.#video.paused) this.#begin();
    this.#tell();
  }

  /** Jump to the live place. */
  catchUp() {
    const live = this.#engine?.liveSeconds;
    if (live) this.#video.currentTime = live;
    this.behindSeconds = 0;
    this.#begin();
  }

  /** Jump to a second, and play. */
  seek(seconds) {
    this.#video.currentTime = seconds;
    this.#begin();
  }

  async #build() {
    const generation = ++this.#generation;
    const Engine = await engineClass(this.#video);
    if (generation !== this.#generation) return;
    if (Engine === undefined) {
      this.#become("broken");
      return;
    }
    if (Engine === null) {
      this.#rebuild();
      return;
    }
    const { kind, url } = this.#source;
    this.#place = { seconds: -1, at: performance.now(), since: performance.now() };
    this.#engine = new Engine(this.#video, url, {
      isLive: kind === "live",
      onDead: () => generation === this.#generation && this.#rebuild(),
      onEnd: () => generation === this.#generation && this.#become("ended"),
    });
    if (this.#wantsToPlay) this.#begin();
    else this.#become("paused");
  }

  #rebuild() {
    this.#generation += 1;
    this.#engine?.destroy();
    this.#engine = null;
    if (this.#rebuilds >= REBUILDS_MAX) {
      this.#become("broken");
      return;
    }
    const pauseMs = 1000 * 2 ** this.#rebuilds;
    this.#rebuilds += 1;
    this.#become("loading");
    clearTimeout(this.#rebuildTimer);
    this.#rebuildTimer = setTimeout(() => this.#build(), pauseMs);
  }

  /** Play with sound; without it where the browser insists; else ask for a click. */
  async #begin() {
    this.#wantsToPlay = true;
    const video = this.#video;
    try {
      await video.play();
    } catch (refusal) {
      if (refusal.name !== "NotAllowedError") return; // superseded by a new source: it plays itself
      if (video.muted) {
        this.#become("blocked");
        return;
      }
      video.muted = true;
      try {
        await video.play();
        this.isSilenced = true;
      } catch (second) {
        video.muted = false;
        if (second.name === "NotAllowedError") this.#become("blocked");
      }
    }
    this.#tell();
  }

  #look() {
    if (!this.#engine) return;
    const now = performance.now();
    const seconds = this.#video.currentTime;
    if (seconds !== this.#place.seconds) {
      if (now - this.#place.at > STUCK_MS) this.#place.since = now;
      this.#place = { seconds, at: now, since: this.#place.since };
      if (now - this.#place.since > HEALTHY_MS && this.state === "playing") this.#rebuilds = 0;
      if (this.state === "waiting" && !this.#video.seeking) this.#become("playing");
    } else if (this.#isStuck(now)) {
      this.#rebuild();
      return;
    }
    const live = this.plays === "live" ? this.#engine.liveSeconds : null;
    const behind = live === null ? 0 : live - seconds;
    const told = behind > BEHIND_SECONDS && this.state !== "loading" ? Math.round(behind) : 0;
    if (told !== this.behindSeconds) {
      this.behindSeconds = told;
      this.#tell();
    }
  }

  #isStuck(now) {
    const isTrying = this.#wantsToPlay && ["playing", "waiting", "loading"].includes(this.state);
    const offered = this.#engine.edgeSeconds - this.#video.currentTime;
    return isTrying && now - this.#place.at > STUCK_MS && offered > OFFERED_SECONDS;
  }

  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}
