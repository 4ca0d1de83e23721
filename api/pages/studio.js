/** The studio page: reads how the host's show is, lets the host broadcast, go live and end. */

import { Account, Refusal, Unreachable, newKey } from "./account.js";
import { Addresses } from "./addresses.js";
import { Broadcaster, whyNot } from "./broadcaster.js";
import { Checks } from "./checks.js";
import { paint } from "./color.js";
import { elements, make, write } from "./elements.js";
import { gaugesOf } from "./gauges.js";
import { Player } from "./player.js";
import {
  HEALTH, NOTES, SITUATIONS, recordingOf, situationOf, stepsOf, troubleOf, written,
} from "./situation.js";
import { sentenceOf } from "./timeline.js";
import * as times from "./times.js";
import { Wire } from "./wire.js";

/** The page lives at <base>/studio/<session id>; the API at <base>. */
const [, BASE, ID] = /^(.*)\/studio\/([^/]+)\/?$/.exec(location.pathname) ?? [null, "", ""];
const SESSION = `/sessions/${encodeURIComponent(ID)}`;
const OPEN = ["open", "waiting_for_media", "live", "reconnecting"];
const OVER = ["ended", "failed", "expired"];
const ON_AIR = ["waiting_for_media", "live", "reconnecting"];
/** Older events are a list's business, not a glance's. */
const EVENTS_MAX = 80;
const TICK_MS = 1000;
/** As often as a meter must move to look alive. */
const METER_MS = 80;
/** go_live and end answer when it is done, or after so many seconds with a receipt. */
const WAIT_SECONDS = 15;

/** What stands where there is no show to see. */
const GATES = {
  loading: ["One moment", "Looking for your show."],
  away: ["No connection", "Greenroom does not answer. This page opens as soon as it does."],
  locked: ["Come in", "The studio is for a show's host and helpers."],
  missing: ["There is no such show", "The link may be mistyped, or the show was deleted."],
  forbidden: ["Not your show", "Only its host, co-hosts and moderators may enter its studio."],
};

/** The credentials that are being asked for. */
let asking = null;

/** What the page knows; everything on the screen follows from it (see `show`). */
const facts = {
  reading: "loading",
  session: null,
  health: null,
  recording: null,
  situation: null,
  events: [],
  /** What start and go_live answer; null while nothing is open, or for a helper. */
  credentials: null,
  isHelper: false,
  /** The button that was pressed and is not answered yet. */
  asked: null,
  sent: null,
  view: null,
  now: Date.now(),
};

const at = elements();
const account = new Account(BASE);
const wire = new Wire(`${SESSION}/events/stream`, account, {
  reading: (word) => {
    facts.reading = word;
    show();
  },
  event: (event) => {
    facts.events.unshift(event);
    facts.events.length = Math.min(facts.events.length, EVENTS_MAX);
    showTimeline();
  },
  state: ({ session, health, recording }) => {
    Object.assign(facts, { session, health, recording });
    follow();
    show();
  },
});
const broadcaster = new Broadcaster(credentials);
const program = new Player(at.programView);
const addresses = new Addresses(at, announce);
new Checks(at, () => account.ask("GET", `${SESSION}/preflight`));

account.onLocked = (reason) => {
  wire.stop();
  showGate(reason);
};
broadcaster.addEventListener("change", show);
broadcaster.addEventListener("trouble", ({ detail }) => {
  write(at.dockHint, detail);
  at.dockHint.hidden = false;
  announce(detail);
});
listen();
setInterval(tick, TICK_MS);
setInterval(() => at.level.style.setProperty("--level", broadcaster.level.toFixed(2)), METER_MS);
if (account.isIn) wire.start();
else showGate("");

function listen() {
  at.login.addEventListener("submit", (event) => {
    event.preventDefault();
    logIn();
  });
  at.tokenForm.addEventListener("submit", (event) => {
    event.preventDefault();
    account.useToken(at.token.value);
    at.token.value = "";
    comeIn();
  });
  at.useToken.addEventListener("click", () => showForm("token"));
  at.usePassword.addEventListener("click", () => showForm("password"));
  at.logOut.addEventListener("click", logOut);

  at.open.addEventListener("click", () => ask("start", "open"));
  at.goLive.addEventListener("click", () => ask("go_live", "goLive"));
  at.end.addEventListener("click", () => at.endDialog.showModal());
  at.endDialog.addEventListener("close", () => {
    if (at.endDialog.returnValue === "yes") ask("end", "end");
    at.endDialog.returnValue = "";
  });

  at.useCamera.addEventListener("click", async () => {
    await broadcaster.switchCamera(true);
    if (broadcaster.hasCamera) await broadcaster.switchMicrophone(true);
    at.camera.focus();
  });
  at.camera.addEventListener("click", () => sends(() => broadcaster.switchCamera(!broadcaster.hasCamera)));
  at.microphone.addEventListener("click", () =>
    sends(() => broadcaster.switchMicrophone(!broadcaster.hasMicrophone)));
  at.share.addEventListener("click", () => sends(() => broadcaster.switchScreen(!broadcaster.hasScreen)));
  at.devicesToggle.addEventListener("click", toggleDevices);
  at.cameraDevice.addEventListener("change", () => useDevice("videoinput", at.cameraDevice));
  at.microphoneDevice.addEventListener("change", () => useDevice("audioinput", at.microphoneDevice));
  at.viewCamera.addEventListener("click", () => look("camera"));
  at.viewProgram.addEventListener("click", () => look("program"));
  at.watchCopy.addEventListener("click", copyWatchLink);
  at.recordingDownload.addEventListener("click", download);

  document.addEventListener("keydown", press);
  addEventListener("beforeunload", (event) => {
    // Closing the page takes the picture away from a show that is on air.
    if (broadcaster.isNeeded && ON_AIR.includes(facts.session?.phase)) event.preventDefault();
  });
}

/* ---------------------------------------------------------------- coming in */

async function logIn() {
  at.loginWrong.hidden = true;
  try {
    await account.logIn(at.email.value, at.password.value);
  } catch (error) {
    write(at.loginWrong, error instanceof Unreachable
      ? "Greenroom does not answer. Try again in a moment." : error.message);
    at.loginWrong.hidden = false;
    at.password.select();
    return;
  }
  at.password.value = "";
  comeIn();
}

function comeIn() {
  facts.reading = "loading";
  wire.start();
  show();
}

async function logOut() {
  wire.stop();
  await broadcaster.leave();
  await account.logOut();
  location.reload();
}

/** Ask who it is. What is sent goes on meanwhile. */
function showGate(reason) {
  facts.reading = "locked";
  show();
  showForm(facts.form ?? "password");
  const wrong = at.tokenForm.hidden ? at.loginWrong : at.tokenWrong;
  write(wrong, reason);
  wrong.hidden = !reason;
}

function showForm(name) {
  facts.form = name;
  at.login.hidden = name !== "password";
  at.tokenForm.hidden = name !== "token";
  (name === "token" ? at.token : at.email).focus();
}

/* ---------------------------------------------------------------- the show */

/** Ask for `start`, `go_live` or `end`; the state that follows comes over the wire. */
async function ask(verb, button) {
  if (facts.asked) return;
  facts.asked = button;
  show();
  try {
    const told = await account.ask("POST", `${SESSION}/${verb}`, {
      headers: { Prefer: `wait=${WAIT_SECONDS}`, "Idempotency-Key": newKey() },
    });
    if (told.livekit_token) facts.credentials = told;
    if (verb === "end") await broadcaster.leave();
    if (told.session) facts.session = told.session;
    facts.isHelper = false;
  } catch (error) {
    showRefusal(error);
  } finally {
    facts.asked = null;
    show();
  }
}

/** What is needed to send; asked for again each time, because tokens grow old. */
async function credentials() {
  try {
    const told = await account.ask("POST", `${SESSION}/start`, {
      headers: { Prefer: `wait=${WAIT_SECONDS}`, "Idempotency-Key": newKey() },
    });
    if (told.livekit_token) facts.credentials = told;
  } catch (error) {
    // While Greenroom is away, LiveKit may still take what was good a while ago.
    if (!(error instanceof Unreachable) || !facts.credentials) throw error;
  }
  show();
  if (!facts.credentials) throw new Unreachable("It is not ready yet.");
  return facts.credentials;
}

/** Do what a new state asks for: fetch the addresses, or let go of what is over. */
function follow() {
  const { session } = facts;
  if (!OPEN.includes(session.phase)) {
    facts.credentials = null;
    if (broadcaster.state !== "off" && session.phase !== "provisioning") broadcaster.leave();
  } else if (!facts.credentials && !facts.isHelper && !facts.asked) {
    asking ??= credentials()
      .catch((error) => {
        // Co-hosts and moderators look on; the show is its host's.
        facts.isHelper = error instanceof Refusal && error.status === 403;
      })
      .finally(() => {
        asking = null;
        show();
      });
  }
}

async function sends(act) {
  at.dockHint.hidden = true;
  await act();
}

async function download() {
  try {
    const told = await account.ask("GET", `/recordings/${facts.recording.id}/download`);
    location.assign(told.download_url);
  } catch (error) {
    showRefusal(error);
  }
}

/* ---------------------------------------------------------------- the screen */

/** Bring the screen in line with the facts; may be called at any time. */
function show() {
  facts.now = Date.now();
  const scene = sceneOf();
  document.body.dataset.scene = scene;
  document.body.dataset.air = ON_AIR.includes(facts.session?.phase) ? "on" : "off";
  at.gate.hidden = scene === "desk";
  at.desk.hidden = scene !== "desk";
  at.deck.hidden = scene !== "desk";
  at.show.hidden = scene !== "desk";
  if (scene === "desk") showDesk();
  else showGateWords(scene);
  const isAway = facts.reading === "away" && facts.session !== null;
  write(at.toastText, isAway ? awayWords() : "");
  at.toast.hidden = !isAway;
}

function sceneOf() {
  const { reading, session } = facts;
  if (["locked", "missing", "forbidden"].includes(reading)) return reading;
  if (session && facts.health) return "desk";
  return reading === "away" ? "away" : "loading";
}


function showGateWords(scene) {
  const [title, line] = GATES[scene];
  write(at.gateTitle, title);
  write(at.gateLine, line);
  if (scene !== "locked") at.login.hidden = at.tokenForm.hidden = true;
  document.title = "Studio - Greenroom";
}

function awayWords() {
  return broadcaster.isSending
    ? "Greenroom does not answer. Your picture goes on to LiveKit; this page catches up by itself."
    : "Greenroom does not answer at the moment. The show goes on; this page catches up by itself.";
}

function showDesk() {
  const { session } = facts;
  const name = situationOf(facts);
  const { tone, badge, headline } = SITUATIONS[name];
  write(at.title, session.title);
  document.title = `${badge[1] === "live" ? "● " : ""}${session.title} - Studio`;
  write(at.badge, badge[0]);
  at.badge.dataset.tone = badge[1];
  at.now.dataset.tone = tone;
  write(at.headline, headline);
  write(at.line, written(name, "line", facts));
  const trouble = troubleOf(session);
  at.trouble.hidden = !trouble;
  write(at.troubleText, trouble);
  if (trouble) at.troubleLink.href = `${BASE}/problems/${encodeURIComponent(session.trouble.slug)}`;
  if (name !== facts.situation || trouble !== facts.trouble) announce(trouble || headline);
  facts.situation = name;
  facts.trouble = trouble;
  paint(session.preset?.primary_color);
  showDeck();
  showScreen();
  showSteps(at.steps, stepsOf(facts));
  showHealth();
  showAudience();
  showRecording();
  addresses.show(OPEN.includes(session.phase) ? facts.credentials : null);
  // What is over needs nothing and sends nothing any more.
  const isOver = OVER.includes(session.phase);
  for (const card of [at.readiness, at.healthCard, at.encoder, at.preflight, at.dock]) {
    card.hidden = isOver || (facts.isHelper && [at.encoder, at.preflight, at.dock].includes(card));
  }
}

function showDeck() {
  const { session, asked, isHelper } = facts;
  const { phase } = session;
  const isOver = OVER.includes(phase) || phase === "ending";
  const isOnAir = ON_AIR.includes(phase);
  at.clock.hidden = !isOnAir || !session.started_at;
  if (!at.clock.hidden) write(at.clock, times.clock((facts.now - Date.parse(session.started_at)) / 1000));
  at.viewersFact.hidden = !isOnAir;
  write(at.viewersShort, `${times.count(session.viewer_count)} watching`);

  at.open.hidden = phase !== "scheduled" || isHelper;
  at.goLive.hidden = isOnAir || isOver || isHelper;
  at.end.hidden = !(isOnAir || phase === "open" || phase === "provisioning") || isHelper;
  write(at.open, asked === "open" ? "Opening" : "Open the green room");
  write(at.goLiveLabel, asked === "goLive" ? "Going live" : "Go live");
  write(at.end, asked === "end" ? "Ending" : isOnAir ? "End show" : "Close");
  for (const button of [at.open, at.goLive, at.end]) {
    button.setAttribute("aria-busy", String(button === at[asked]));
    button.disabled = asked !== null;
  }
  write(at.endTitle, isOnAir ? "End the show?" : "Close the green room?");
  const watching = session.viewer_count > 0
    ? `${times.count(session.viewer_count)} ${session.viewer_count === 1 ? "person watches" : "people watch"} now. ` : "";
  write(at.endLine, `${watching}It ends for everybody, and cannot go on afterwards.`);
  write(at.endNo, isOnAir ? "Stay on air" : "Keep it open");
  write(at.endYes, isOnAir ? "End show" : "Close it");
}

function showScreen() {
  const { session } = facts;
  const isOpen = OPEN.includes(session.phase) && !facts.isHelper;
  const hasMine = broadcaster.hasCamera || broadcaster.hasScreen;
  const hasProgram = session.hls_url !== null && ["ready", "stalled"].includes(session.playback.state);
  const wanted = facts.view ?? (hasMine ? "camera" : "program");
  const view = wanted === "program" && hasProgram ? "program" : hasMine ? "camera"
    : hasProgram ? "program" : "none";
  at.screen.dataset.view = view;
  at.cameraView.classList.toggle("mirrored", broadcaster.hasCamera && !broadcaster.hasScreen);
  broadcaster.show(at.cameraView);
  if (view === "program") program.play("live", session.hls_url);
  else program.stop();
  at.programView.muted = true;

  at.views.hidden = !(hasMine && hasProgram);
  at.viewCamera.setAttribute("aria-pressed", String(view === "camera"));
  at.viewProgram.setAttribute("aria-pressed", String(view === "program"));
  showRibbon(view);
  showEmpty(view, isOpen);
  showDock(isOpen);
}

function showRibbon(view) {
  const text = {
    joining: "Connecting to LiveKit",
    reconnecting: "Connection lost. Coming back by itself",
    taken: "Another page of yours sends now",
  }[broadcaster.state] ?? (view === "program" ? "What viewers see" : broadcaster.hasScreen ? "You share your screen" : "");
  write(at.ribbon, text);
  at.ribbon.hidden = !text;
}

function showEmpty(view, isOpen) {
  at.empty.hidden = view !== "none";
  if (view !== "none") return;
  const { session, health } = facts;
  const why = whyNot();
  const isElsewhere = health.program.via === "rtmp" || health.program.via === "whip";
  const isOver = OVER.includes(session.phase) || session.phase === "ending";
  const [title, line] = isOver ? ["The show is over", "The watch page plays it again as soon as it is ready."]
    : isElsewhere ? [`Your picture comes ${health.program.via === "rtmp" ? "by RTMP" : "by WHIP"}`,
                     "It is shown here as soon as viewers can play it."]
    : isOpen ? ["No picture yet", why ?? "Send from this page, or from an encoder."]
    : facts.isHelper ? ["No picture yet", "The host has not sent one so far."]
    : ["No picture yet", "Open the green room to use your camera."];
  write(at.emptyTitle, title);
  write(at.emptyLine, line);
  at.useCamera.hidden = !isOpen || isElsewhere || why !== null;
  at.useCamera.disabled = broadcaster.state === "joining";
}

function showDock(isOpen) {
  const isReady = isOpen && whyNot() === null && broadcaster.state !== "joining";
  const preset = facts.session.preset ?? {};
  showSwitch(at.camera, at.cameraLabel, "Camera", broadcaster.hasCamera,
             isReady && preset.host_camera_enabled !== false);
  showSwitch(at.microphone, at.microphoneLabel, "Microphone", broadcaster.hasMicrophone, isReady);
  showSwitch(at.share, at.shareLabel, broadcaster.hasScreen ? "Stop sharing" : "Share screen",
             broadcaster.hasScreen, isReady && preset.host_screen_share !== false);
  at.devicesToggle.disabled = !isReady;
}

function showSwitch(button, label, name, isOn, isReady) {
  write(label, name);
  button.setAttribute("aria-pressed", String(isOn));
  button.disabled = !isReady;
}

function showSteps(list, steps) {
  if (list.childElementCount !== steps.length) {
    list.replaceChildren(...steps.map(() => {
      const row = make("li", "step", make("i", "mark"),
                       make("span", "name"), make("span", "soft"), make("span", "unseen"));
      row.firstChild.setAttribute("aria-hidden", "true");
      return row;
    }));
  }
  const words = { done: "done", wait: "waiting", bad: "wrong", off: "off" };
  steps.forEach(({ name, state, text }, index) => {
    const row = list.children[index];
    const [, title, told, said] = row.children;
    row.dataset.state = state;
    write(title, name);
    write(told, text);
    write(said, `, ${words[state]}`);
  });
}

function showHealth() {
  const { health, sent } = facts;
  const [word, tone] = HEALTH[health.health];
  showPill(at.healthPill, word, tone);
  const isMine = broadcaster.isSending && health.program.via === "browser";
  const gauges = gaugesOf({ health, sent: isMine ? sent : null });
  if (at.gauges.childElementCount !== gauges.length) {
    at.gauges.replaceChildren(...gauges.map(() => make("div", "", make("dt"), make("dd", "figures"))));
  }
  gauges.forEach(({ name, value, hint }, index) => {
    const [title, figure] = at.gauges.children[index].children;
    write(title, name);
    title.title = hint ?? "";
    write(figure, value ?? "–");
  });
  const errors = health.ingress.filter((one) => one.status === "error" && one.error)
    .map((one) => `${one.kind.toUpperCase()}: ${one.error}`);
  const notes = [...health.notes.map((note) => NOTES[note] ?? note), ...errors];
  if (health.livekit.error) notes.push("LiveKit does not answer, so nobody knows what arrives.");
  at.notes.hidden = notes.length === 0;
  const told = [...at.notes.children].map((row) => row.textContent);
  if (told.join("\n") !== notes.join("\n")) {
    at.notes.replaceChildren(...notes.map((note) => make("li", "", note)));
  }
}

function showAudience() {
  const { session } = facts;
  const { livekit, hls, stale } = session.viewers;
  at.watchLink.href = watchAddress();
  const isOver = OVER.includes(session.phase);
  write(at.viewersCount, times.count(isOver ? session.max_viewers : session.viewer_count));
  if (isOver) {
    write(at.viewersSplit, "watched at the same time, at most");
    return;
  }
  const peak = session.max_viewers ? ` · at most ${times.count(session.max_viewers)}` : "";
  write(at.viewersSplit, stale
    ? "Nobody counts at the moment; this is how it was."
    : `${times.count(hls)} by HLS, ${times.count(livekit)} by LiveKit${peak}`);
}

function showRecording() {
  const { pill, line } = recordingOf(facts);
  showPill(at.recordingPill, ...pill);
  write(at.recordingLine, line);
  at.recordingDownload.hidden = facts.recording?.status !== "completed" || facts.isHelper;
}

function showPill(pill, word, tone) {
  write(pill, word);
  pill.dataset.tone = tone;
}

function showTimeline() {
  const rows = facts.events.map((event) => {
    const told = sentenceOf(event);
    if (!told) return null;
    const moment = new Date(event.at);
    const time = make("time", "figures", moment.toLocaleTimeString(undefined, { timeStyle: "medium" }));
    time.dateTime = event.at;
    time.title = `${times.moment(event.at)}, event ${event.seq}`;
    const row = make("li", "", time, make("span", "", told.text));
    row.dataset.tone = told.tone;
    return row;
  });
  at.events.replaceChildren(...rows.filter(Boolean));
}

async function tick() {
  if (sceneOf() !== "desk") return;
  const { output } = facts.health;
  // Between two states a second passes here, too.
  if (output.age_seconds !== null && output.newest_segment_at) {
    output.age_seconds = Math.max(0, (Date.now() - Date.parse(output.newest_segment_at)) / 1000);
  }
  try {
    facts.sent = await broadcaster.sent();
  } catch {
    facts.sent = null;
  }
  show();
}

function showRefusal(error) {
  const isRefusal = error instanceof Refusal;
  write(at.refusalTitle, isRefusal ? error.title : "Greenroom does not answer");
  write(at.refusalLine, isRefusal
    ? `${error.message}${error.retryAfter ? ` Try again in ${error.retryAfter} seconds.` : ""}`
    : "It may have heard you all the same: look at what the page says in a moment, then try again.");
  at.refusalLink.parentElement.hidden = !isRefusal;
  if (isRefusal) at.refusalLink.href = `${BASE}/problems/${encodeURIComponent(error.slug)}`;
  if (!at.refusal.open) at.refusal.showModal();
}

/* ---------------------------------------------------------------- smaller things */

function look(view) {
  facts.view = view;
  show();
}

async function toggleDevices() {
  const isOpen = at.devices.hidden;
  at.devices.hidden = !isOpen;
  at.devicesToggle.setAttribute("aria-expanded", String(isOpen));
  if (!isOpen) return;
  await showDevices("videoinput", at.cameraDevice);
  await showDevices("audioinput", at.microphoneDevice);
}

async function showDevices(kind, select) {
  const found = await broadcaster.devices(kind).catch(() => []);
  select.replaceChildren(...found.map(({ id, label, isUsed }) => {
    const option = make("option", "", label);
    option.value = id;
    option.selected = isUsed;
    return option;
  }));
  if (!found.length) select.append(make("option", "", "None found"));
  select.disabled = !found.length;
}

async function useDevice(kind, select) {
  try {
    await broadcaster.useDevice(kind, select.value);
  } catch {
    announce("That device cannot be used.");
  }
}

/** Single keys, as long as nobody types and no dialog is open. */
function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest?.("input, select, textarea, dialog")) return;
  const button = { c: at.camera, m: at.microphone, s: at.share }[event.key.toLowerCase()];
  if (!button || button.disabled || at.desk.hidden || at.dock.hidden) return;
  event.preventDefault();
  button.click();
}

async function copyWatchLink() {
  try {
    await navigator.clipboard.writeText(watchAddress());
    write(at.watchCopy, "Copied");
  } catch {
    write(at.watchCopy, "Not allowed");
  }
  announce(at.watchCopy.textContent);
  setTimeout(() => write(at.watchCopy, "Copy link"), 2000);
}

function watchAddress() {
  return `${location.origin}${BASE}/watch/${encodeURIComponent(ID)}`;
}

function announce(text) {
  write(at.announcer, text);
}
