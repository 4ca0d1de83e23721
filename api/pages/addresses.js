/** Show where an encoder sends to; keys stay hidden until somebody asks for them. */

import { make, write } from "./elements.js";

/** As long whatever is hidden: dots tell nothing. */
const DOTS = "•".repeat(24);
const COPIED_MS = 2000;

export class Addresses {
  #at;
  #told = null;
  #shown = { rtmpKey: false, whipUrl: false };
  #announce;

  constructor(at, announce) {
    this.#at = at;
    this.#announce = announce;
    at.rtmpReveal.addEventListener("click", () => this.#reveal("rtmpKey"));
    at.whipReveal.addEventListener("click", () => this.#reveal("whipUrl"));
    for (const button of at.encoder.querySelectorAll("[data-copies]")) {
      button.addEventListener("click", () => this.#copy(button));
    }
    for (const field of [at.rtmpUrl, at.rtmpKey, at.whipUrl]) {
      field.addEventListener("focus", () => field.select());
    }
  }

  /** `told`: what start and go_live answer; null when nothing is open. */
  show(told) {
    if (told === null) this.#shown = { rtmpKey: false, whipUrl: false };
    this.#told = told;
    const at = this.#at;
    at.addresses.hidden = told === null;
    write(
      at.encoderLine,
      told === null
        ? "The addresses for OBS and other encoders appear when the green room is open."
        : "With OBS or any other encoder, by RTMP or WHIP. Whoever has the key can send for you.",
    );
    if (told === null) {
      for (const field of [at.rtmpUrl, at.rtmpKey, at.whipUrl]) field.value = "";
      return;
    }
    at.rtmpUrl.value = told.rtmp.url ?? "";
    at.rtmpKey.value = this.#shown.rtmpKey ? (told.rtmp.stream_key ?? "") : DOTS;
    at.whipUrl.value = this.#shown.whipUrl ? (told.whip_url ?? "") : hidden(told.whip_url);
    this.#showReveal(at.rtmpReveal, this.#shown.rtmpKey, "the stream key");
    this.#showReveal(at.whipReveal, this.#shown.whipUrl, "the WHIP address");
    if (!at.instructions.childElementCount) {
      const steps = Object.values(told.rtmp_setup.instructions);
      at.instructions.replaceChildren(...steps.map((step) => make("li", "", step)));
    }
  }

  #reveal(name) {
    this.#shown[name] = !this.#shown[name];
    this.show(this.#told);
  }

  #showReveal(button, isShown, what) {
    const word = isShown ? "Hide" : "Show";
    if (button.firstChild.textContent !== word) {
      button.replaceChildren(word, make("span", "unseen", ` ${what}`));
    }
    button.setAttribute("aria-pressed", String(isShown));
  }

  async #copy(button) {
    const secret = {
      "rtmp-url": this.#told?.rtmp.url,
      "rtmp-key": this.#told?.rtmp.stream_key,
      "whip-url": this.#told?.whip_url,
    }[button.dataset.copies];
    const label = button.querySelector("span");
    try {
      await navigator.clipboard.writeText(secret ?? "");
      write(label, "Copied");
      this.#announce("Copied");
    } catch {
      write(label, "Not allowed");
      this.#announce("The browser does not let this page copy. Show it, and copy it by hand.");
    }
    setTimeout(() => write(label, "Copy"), COPIED_MS);
  }
}

/** The address without its last part, which is the key. */
function hidden(address) {
  if (!address) return "";
  const [, before] = /^(.*\/)[^/]*$/.exec(address) ?? [null, ""];
  return `${before}${DOTS}`;
}
