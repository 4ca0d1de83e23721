/** Plays livekit-client: the same shape, the machine's own (fake) devices, and nobody at the other end. */

(() => {
  const Source = { Camera: "camera", Microphone: "microphone", ScreenShare: "screen_share" };
  const RoomEvent = {
    Reconnecting: "reconnecting", SignalReconnecting: "signalReconnecting",
    Reconnected: "reconnected", Disconnected: "disconnected",
    LocalTrackPublished: "localTrackPublished", LocalTrackUnpublished: "localTrackUnpublished",
    TrackMuted: "trackMuted", TrackUnmuted: "trackUnmuted",
    ActiveDeviceChanged: "activeDeviceChanged",
  };
  const DisconnectReason = {
    CLIENT_INITIATED: 1, DUPLICATE_IDENTITY: 2, SERVER_SHUTDOWN: 3, PARTICIPANT_REMOVED: 4,
    ROOM_DELETED: 5,
  };
  const livekit = (window.livekit = { rooms: [], failures: [] });

  class Participant {
    #room;
    #tracks = new Map();

    constructor(room) {
      this.#room = room;
    }

    get isCameraEnabled() {
      return this.#isOn(Source.Camera);
    }

    get isMicrophoneEnabled() {
      return this.#isOn(Source.Microphone);
    }

    get isScreenShareEnabled() {
      return this.#isOn(Source.ScreenShare);
    }

    getTrackPublication(source) {
      return this.#tracks.get(source);
    }

    setCameraEnabled(isOn) {
      return this.#set(Source.Camera, isOn, () => device({ video: true }));
    }

    setMicrophoneEnabled(isOn) {
      return this.#set(Source.Microphone, isOn, () => device({ audio: true }));
    }

    setScreenShareEnabled(isOn) {
      return this.#set(Source.ScreenShare, isOn, async () => {
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [1280, 720];
        const pen = canvas.getContext("2d");
        pen.fillStyle = "#246";
        pen.fillRect(0, 0, 1280, 720);
        return canvas.captureStream(5).getTracks()[0];
      });
    }

    /** What host_audio_state and host_video_state do from afar. */
    mute(source, isMuted) {
      this.#tracks.get(source).isMuted = isMuted;
      this.#room.fire(isMuted ? "trackMuted" : "trackUnmuted");
    }

    #isOn(source) {
      const publication = this.#tracks.get(source);
      return publication !== undefined && !publication.isMuted;
    }

    async #set(source, isOn, make) {
      if (livekit.failures.length) throw Object.assign(new Error("no"), { name: livekit.failures.shift() });
      const known = this.#tracks.get(source);
      if (isOn && !known) {
        const track = new LocalTrack(await make());
        this.#tracks.set(source, { track, isMuted: false });
        this.#room.fire("localTrackPublished");
      } else if (known) {
        known.isMuted = !isOn;
        this.#room.fire(isOn ? "trackUnmuted" : "trackMuted");
      }
    }
  }

  class LocalTrack {
    #began = performance.now();

    constructor(mediaStreamTrack) {
      this.mediaStreamTrack = mediaStreamTrack;
    }

    async getSenderStats() {
      const seconds = (performance.now() - this.#began) / 1000;
      return [{
        frameWidth: 1280, frameHeight: 720, framesPerSecond: 30, bytesSent: seconds * 250_000,
        packetsSent: Math.round(seconds * 300), packetsLost: 0, roundTripTime: 0.02,
      }];
    }
  }

  class Room {
    #listeners = new Map();

    constructor(options) {
      this.options = options;
      this.localParticipant = new Participant(this);
      livekit.rooms.push(this);
    }

    static async getLocalDevices(kind) {
      const found = await navigator.mediaDevices.enumerateDevices();
      return found.filter((one) => one.kind === kind);
    }

    on(name, act) {
      this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), act]);
      return this;
    }

    fire(name, ...told) {
      for (const act of this.#listeners.get(name) ?? []) act(...told);
    }

    async connect(url, token, options) {
      Object.assign(this, { url, token, connected: options });
      if (livekit.isAway) throw new Error("could not establish signal connection");
    }

    async disconnect() {
      this.isLeft = true;
      this.fire("disconnected", DisconnectReason.CLIENT_INITIATED);
    }

    getActiveDevice() {
      return "default";
    }

    async switchActiveDevice(kind, id) {
      (this.switched ??= []).push([kind, id]);
    }
  }

  async function device(wanted) {
    return (await navigator.mediaDevices.getUserMedia(wanted)).getTracks()[0];
  }

  window.LivekitClient = {
    Room, RoomEvent, DisconnectReason, Track: { Source },
    VideoPresets: { h720: { resolution: { width: 1280, height: 720, frameRate: 30 } } },
  };
})();
