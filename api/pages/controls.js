/** The player's buttons, sliders and keys: what the viewer does to the player, and sees of it. */

import * as times from "./times.js";

/** Without a movement this long, controls leave the picture alone. */
const IDLE_MS = 2800;
/** One press of an arrow key. */
const STEP_SECONDS = 10;
const VOLUME_KEPT = "greenroom-volume";

export class Controls {
  #player;
  #video;
  #at;
  #idleTimer = 0;
  #isSeeking = false;
  #shown = "idle";

  constructor(player, video, at) {
    this.#player = player;
    this.#video = video;
    this.#at = at;
    this.#recallVolume();
    this.#listen();
  }

  /** Show the player's state; `isExplained`: a notice says already why the picture stands still. */
  show({ hasPicture, isExplained }) {
    const { state, plays, behindSeconds, isSilenced } = this.#player;
    const at = this.#at;
    at.controls.hidden = !hasPicture || ["blocked", "broken", "idle"].includes(state);
    const isBusy = state === "loading" || (state === "waiting" && !isExplained);
    at.spinner.hidden = !hasPicture || !isBusy;
    at.unmute.hidden = !hasPicture || !isSilenced;
    at.start.hidden = !hasPicture || !["blocked", "broken"].includes(state);
    at.startLabel.textContent = state === "broken" ? "Try again" : "Play";

    const isPaused = this.#video.paused;
    at.toggle.setAttribute("aria-label", isPaused ? "Play" : "Pause");
    at.toggle.title = isPaused ? "Play (k)" : "Pause (k)";
    at.toggleIcon.setAttribute("href", isPaused ? "#icon-play" : "#icon-pause");

    const isMuted = this.#video.muted || this.#video.volume === 0;
    at.mute.setAttribute("aria-label", isMuted ? "Unmute" : "Mute");
    at.mute.title = isMuted ? "Unmute (m)" : "Mute (m)";
    at.muteIcon.setAttribute("href", isMuted ? "#icon-muted" : "#icon-sound");
    fill(at.volume, isMuted ? 0 : this.#video.volume, 1);
    at.volume.setAttribute("aria-valuetext", `${Math.round(100 * at.volume.value)} percent`);

    at.edge.hidden = plays !== "live" || behindSeconds > 0;
    at.behind.hidden = plays !== "live" || behindSeconds === 0;
    at.behind.textContent = "Catch up to live";
    at.behind.title = `${times.length(behindSeconds)} behind`;
    at.progress.hidden = plays !== "replay";
    at.clock.hidden = plays !== "replay";
    this.#showTime();
    if (state !== this.#shown) this.#wake();
    this.#shown = state;
  }

  #listen() {
    const at = this.#at;
    const player = this.#player;
    at.toggle.addEventListener("click", () => player.toggle());
    at.mute.addEventListener("click", () => this.#toggleMute());
    at.unmute.addEventListener("click", () => player.unmute());
    at.start.addEventListener("click", () => player.retry());
    at.behind.addEventListener("click", () => player.catchUp());
    at.grow.addEventListener("click", () => this.#toggleFullscreen());
    at.volume.addEventListener("input", () => {
      this.#video.volume = +at.volume.value;
      this.#video.muted = at.volume.value === "0";
      keepVolume(this.#video.volume);
    });
    at.seek.addEventListener("input", () => {
      this.#isSeeking = true;
      this.#showTime(+at.seek.value);
    });
    at.seek.addEventListener("change", () => {
      this.#isSeeking = false;
      player.seek(+at.seek.value);
    });
    this.#video.addEventListener("timeupdate", () => this.#showTime());
    this.#video.addEventListener("durationchange", () => this.#showTime());
    document.addEventListener("fullscreenchange", () => this.#showFullscreen());
    document.addEventListener("keydown", (event) => this.#press(event));

    for (const name of ["pointermove", "pointerdown", "focusin", "keydown"]) {
      at.stage.addEventListener(name, () => this.#wake());
    }
    at.stage.addEventListener("pointerleave", () => this.#wake(600));
    this.#video.addEventListener("click", () => this.#click());
    this.#video.addEventListener("dblclick", () => this.#toggleFullscreen());
  }

  /** A mouse plays and pauses; a finger only calls the controls. */
  #click() {
    if (matchMedia("(hover: hover)").matches) this.#player.toggle();
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (this.#at.controls.hidden && this.#at.start.hidden) return;
    const on = event.target.closest?.("button, a, input");
    const act = {
      " ": () => this.#player.toggle(),
      k: () => this.#player.toggle(),
      m: () => this.#toggleMute(),
      f: () => this.#toggleFullscreen(),
      ArrowLeft: () => this.#step(-STEP_SECONDS),
      ArrowRight: () => this.#step(STEP_SECONDS),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    // What has the focus uses these keys itself.
    const isTaken =
      (event.key === " " && on) || (event.key.startsWith("Arrow") && on?.matches("input"));
    if (!act || isTaken) return;
    event.preventDefault();
    act();
    this.#wake();
  }

  #step(seconds) {
    if (this.#player.plays !== "replay") return;
    const end = this.#video.duration || 0;
    this.#player.seek(Math.min(Math.max(0, this.#video.currentTime + seconds), end));
  }

  #toggleMute() {
    if (this.#video.muted || this.#video.volume === 0) this.#player.unmute();
    else this.#video.muted = true;
  }

  #toggleFullscreen() {
    const { stage } = this.#at;
    if (document.fullscreenElement) document.exitFullscreen();
    else if (stage.requestFullscreen) stage.requestFullscreen().catch(() => {});
    else this.#video.webkitEnterFullscreen?.(); // iPhones make only the video large
  }

  #showFullscreen() {
    const isLarge = document.fullscreenElement !== null;
    const label = isLarge ? "Leave full screen" : "Full screen";
    this.#at.grow.setAttribute("aria-label", label);
    this.#at.grow.title = `${label} (f)`;
    this.#at.growIcon.setAttribute("href", isLarge ? "#icon-shrink" : "#icon-grow");
  }

  #showTime(seconds = this.#video.currentTime) {
    if (this.#player.plays !== "replay" || (this.#isSeeking && arguments.length === 0)) return;
    const end = Number.isFinite(this.#video.duration) ? this.#video.duration : 0;
    const { seek, clock } = this.#at;
    seek.max = end || 1;
    fill(seek, seconds, end || 1);
    seek.setAttribute("aria-valuetext", `${times.clock(seconds)} of ${times.clock(end)}`);
    clock.textContent = `${times.clock(seconds)} / ${times.clock(end)}`;
  }

  /** Show the controls, and hide them again when nothing happens while the picture runs. */
  #wake(idleMs = IDLE_MS) {
    const { stage } = this.#at;
    stage.dataset.idle = "false";
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => {
      if (this.#player.isFollowed) stage.dataset.idle = "true";
    }, idleMs);
  }

  #recallVolume() {
    try {
      const kept = Number.parseFloat(localStorage.getItem(VOLUME_KEPT));
      if (kept > 0 && kept <= 1) this.#video.volume = kept;
    } catch {
      // Storage can be forbidden: then every visit starts at full volume.
    }
  }
}

function fill(slider, value, max) {
  slider.value = value;
  slider.style.setProperty("--fill", `${(100 * value) / max}%`);
}

function keepVolume(volume) {
  try {
    localStorage.setItem(VOLUME_KEPT, volume);
  } catch {
    // See #recallVolume.
  }
}
