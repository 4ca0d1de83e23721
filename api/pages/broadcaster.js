/** Send the host's camera, microphone and screen to LiveKit, and keep sending. */

import { Refusal, Unreachable } from "./account.js";

const LIVEKIT = new URL("../vendor/livekit-client/livekit-client.umd.js", import.meta.url).href;

/** Between two attempts to come back: 1, 2, 4, 8, 8 ... seconds, for as long as the show is open. */
const REJOIN_MS_MAX = 8000;

let loading = null;

/**
 * `state` is one of
 *   off           nothing is sent
 *   joining       on the way into the room
 *   on            in the room
 *   reconnecting  the connection is lost; it comes back by itself
 *   taken         the host's place was taken by another page
 * A "change" event tells that state or a switch changed; a "trouble" event carries `detail` in words.
 */
export class Broadcaster extends EventTarget {
  state = "off";

  #room = null;
  #credentials;
  #wants = { camera: false, microphone: false };
  #joining = null;
  #rejoins = 0;
  #rejoinTimer = 0;
  #ear = null;
  #counted = null;

  /** `credentials()` gives `{livekit_url, livekit_token}` that are good now. */
  constructor(credentials) {
    super();
    this.#credentials = credentials;
  }

  get hasCamera() {
    return this.#me?.isCameraEnabled ?? false;
  }

  get hasMicrophone() {
    return this.#me?.isMicrophoneEnabled ?? false;
  }

  get hasScreen() {
    return this.#me?.isScreenShareEnabled ?? false;
  }

  /** Whether anything of the host's is in the room because of this page. */
  get isSending() {
    return this.hasCamera || this.hasMicrophone || this.hasScreen;
  }

  /** Whether closing the page would take something away from the show. */
  get isNeeded() {
    return this.isSending || this.state === "reconnecting";
  }

  async switchCamera(isOn) {
    this.#wants.camera = isOn;
    await this.#switch((me) => me.setCameraEnabled(isOn), "camera");
  }

  async switchMicrophone(isOn) {
    this.#wants.microphone = isOn;
    await this.#switch((me) => me.setMicrophoneEnabled(isOn), "microphone");
    this.#listen();
  }

  async switchScreen(isOn) {
    await this.#switch((me) => me.setScreenShareEnabled(isOn, { audio: true }), "screen");
  }

  /** Put the picture that is sent into a video element: the screen before the camera. */
  show(video) {
    const { Track } = window.LivekitClient ?? {};
    const sources = this.hasScreen ? [Track.Source.ScreenShare] : [];
    if (this.hasCamera) sources.push(Track.Source.Camera);
    const track = sources.length ? this.#me.getTrackPublication(sources[0])?.track : null;
    const stream = track?.mediaStreamTrack ?? null;
    if ((video.srcObject?.getVideoTracks()[0] ?? null) === stream) return;
    video.srcObject = stream && new MediaStream([stream]);
  }

  /** The machine's cameras or microphones: `[{id, label, isUsed}]`. */
  async devices(kind) {
    const { Room } = await livekit();
    const used = this.#room?.getActiveDevice(kind);
    const found = await Room.getLocalDevices(kind, false);
    return found
      .filter((device) => device.deviceId)
      .map((device, index) => ({
        id: device.deviceId,
        label: device.label || `${kind === "videoinput" ? "Camera" : "Microphone"} ${index + 1}`,
        isUsed: device.deviceId === used || (used === "default" && index === 0),
      }));
  }

  async useDevice(kind, id) {
    await this.#join();
    await this.#room.switchActiveDevice(kind, id);
    this.#listen();
    this.#tell();
  }

  /** What is really sent, summed over the layers; null when no picture is. */
  async sent() {
    const track = this.#publication(this.hasScreen ? "ScreenShare" : "Camera")?.track;
    const layers = track?.getSenderStats ? await track.getSenderStats() : [];
    if (!layers.length) {
      this.#counted = null;
      return null;
    }
    const largest = layers.reduce((one, other) =>
      (other.frameWidth ?? 0) > (one.frameWidth ?? 0) ? other : one,
    );
    const sum = (member) => layers.reduce((total, layer) => total + (layer[member] ?? 0), 0);
    const now = { bytes: sum("bytesSent"), packets: sum("packetsSent"), lost: sum("packetsLost") };
    const before = this.#counted;
    const at = performance.now();
    this.#counted = { ...now, at };
    const seconds = before ? (at - before.at) / 1000 : 0;
    const moved = before ? now.packets - before.packets : 0;
    return {
      width: largest.frameWidth ?? null,
      height: largest.frameHeight ?? null,
      framesPerSecond: largest.framesPerSecond ?? null,
      bitsPerSecond: seconds > 0 ? Math.max(0, ((now.bytes - before.bytes) * 8) / seconds) : null,
      lossShare: moved > 0 ? Math.max(0, (now.lost - before.lost) / moved) : null,
      roundTripSeconds: largest.roundTripTime ?? null,
    };
  }

  /** How loud the microphone is, 0 to 1. */
  get level() {
    if (!this.#ear || !this.hasMicrophone) return 0;
    const { analyser, samples } = this.#ear;
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    // 60 dB of quiet to loud fill the meter.
    return Math.min(1, Math.max(0, 1 + Math.log10(Math.max(power, 1e-9)) / 6));
  }

  /** Send nothing any more. */
  async leave() {
    clearTimeout(this.#rejoinTimer);
    this.#wants = { camera: false, microphone: false };
    const room = this.#room;
    this.#room = null;
    this.#deafen();
    this.#become("off");
    await room?.disconnect();
  }

  get #me() {
    return this.#room?.localParticipant ?? null;
  }

  #publication(source) {
    const sources = window.LivekitClient?.Track.Source;
    return this.#me && sources ? this.#me.getTrackPublication(sources[source]) : null;
  }

  async #switch(act, what) {
    try {
      await this.#join();
      await act(this.#me);
    } catch (error) {
      if (what in this.#wants) this.#wants[what] = false;
      this.#say(wordsOf(error, what));
    }
    this.#tell();
  }

  #join() {
    if (this.#room && ["on", "reconnecting"].includes(this.state)) return Promise.resolve();
    this.#joining ??= this.#joinNow().finally(() => (this.#joining = null));
    return this.#joining;
  }

  async #joinNow() {
    clearTimeout(this.#rejoinTimer);
    this.#become("joining");
    const told = this.#room;
    try {
      const { Room, RoomEvent, VideoPresets } = await livekit();
      const { livekit_url: url, livekit_token: token } = await this.#credentials();
      const room = new Room({
        videoCaptureDefaults: { resolution: VideoPresets.h720.resolution },
        // The show's picture is made from the best layer: it must not pause for want of viewers.
        dynacast: false,
        disconnectOnPageLeave: true,
      });
      const mine = (act) => (...told) => this.#room === room && act(...told);
      const tell = mine(() => this.#tell());
      room.on(RoomEvent.Reconnecting, mine(() => this.#become("reconnecting")));
      room.on(RoomEvent.SignalReconnecting, mine(() => this.#become("reconnecting")));
      room.on(RoomEvent.Reconnected, mine(() => this.#become("on")));
      room.on(RoomEvent.Disconnected, mine((reason) => this.#lose(reason)));
      for (const name of ["LocalTrackPublished", "LocalTrackUnpublished", "TrackMuted",
                          "TrackUnmuted", "ActiveDeviceChanged"]) room.on(RoomEvent[name], tell);
      this.#room = room;
      // What others send is not for this page.
      await room.connect(url, token, { autoSubscribe: false });
      if (this.#room !== room) throw new Error("Left while joining.");
      this.#rejoins = 0;
      this.#become("on");
    } catch (error) {
      if (told === null) this.#room = null;
      this.#become("off");
      throw error;
    }
  }

  /** Say why the room is gone, and come back where that makes sense. */
  #lose(reason) {
    const { DisconnectReason: reasons } = window.LivekitClient;
    this.#deafen();
    this.#room = null;
    switch (reason) {
      case reasons.CLIENT_INITIATED:
      case reasons.ROOM_DELETED:
        this.#become("off");
        return;
      case reasons.DUPLICATE_IDENTITY:
        this.#become("taken");
        return;
      case reasons.PARTICIPANT_REMOVED:
        this.#become("off");
        this.#say("You were taken out of the room.");
        return;
      default:
        this.#become("reconnecting");
        this.#comeBack();
    }
  }

  #comeBack() {
    const pauseMs = Math.min(1000 * 2 ** this.#rejoins, REJOIN_MS_MAX);
    this.#rejoins += 1;
    this.#rejoinTimer = setTimeout(async () => {
      const { camera, microphone } = this.#wants;
      try {
        await this.#join();
        if (camera) await this.#me.setCameraEnabled(true);
        if (microphone) await this.#me.setMicrophoneEnabled(true);
        this.#listen();
        this.#tell();
      } catch {
        if (!camera && !microphone) return;
        this.#become("reconnecting");
        this.#comeBack();
      }
    }, pauseMs);
  }

  /** Put an ear to the microphone, for the meter. */
  #listen() {
    this.#deafen();
    const stream = this.#publication("Microphone")?.track?.mediaStreamTrack;
    if (!stream || !this.hasMicrophone) return;
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 1024;
    context.createMediaStreamSource(new MediaStream([stream])).connect(analyser);
    this.#ear = { context, analyser, samples: new Float32Array(analyser.fftSize) };
  }

  #deafen() {
    this.#ear?.context.close();
    this.#ear = null;
  }

  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }

  #say(words) {
    if (words) this.dispatchEvent(new CustomEvent("trouble", { detail: words }));
  }
}

/** Whether this browser can send at all; else why not, in words. */
export function whyNot() {
  if (navigator.mediaDevices?.getUserMedia && window.RTCPeerConnection) return null;
  return window.isSecureContext
    ? "This browser cannot send camera and microphone. Use an encoder."
    : "Browsers give camera and microphone only to pages with https. Use an encoder.";
}

async function livekit() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = LIVEKIT;
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error("The LiveKit client did not load.")));
    document.head.append(script);
  });
  try {
    await loading;
  } catch (error) {
    loading = null; // the next attempt loads it again
    throw error;
  }
  return window.LivekitClient;
}

const DEVICES = { camera: "camera", microphone: "microphone", screen: "screen" };

function wordsOf(error, what) {
  const device = DEVICES[what];
  switch (error.name) {
    case "NotAllowedError":
      // Whoever closed the browser's own dialog knows.
      return what === "screen" ? "" : `Your browser does not let this page use the ${device}. `
        + "Allow it in the address bar, then try again.";
    case "NotFoundError":
    case "OverconstrainedError":
      return `There is no ${device} on this machine.`;
    case "NotReadableError":
    case "AbortError":
      return `The ${device} is used by another program.`;
    default:
      if (error instanceof Refusal) return error.message;
      return error instanceof Unreachable
        ? "Greenroom does not answer. Try again in a moment."
        : "The connection to LiveKit did not come about. Try again, or use an encoder.";
  }
}
