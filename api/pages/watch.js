/** The watch page: reads how the show is, chooses the scene, and lets the player follow it. */

import { paint } from "./color.js";
import { Controls } from "./controls.js";
import { elements, write } from "./elements.js";
import { Feed } from "./feed.js";
import { Heartbeat } from "./heartbeat.js";
import { Player } from "./player.js";
import { Replay } from "./replay.js";
import { SCENES, sceneOf, written } from "./scene.js";
import * as times from "./times.js";

/** The page lives at <base>/watch/<session id>; the API at <base>. */
const [, BASE, ID] = /^(.*)\/watch\/([^/]+)\/?$/.exec(location.pathname) ?? [null, "", ""];
const SESSION = `${BASE}/sessions/${encodeURIComponent(ID)}`;

/** After the end, viewers see the last seconds; a player that waits is not waited for as long. */
const PLAYING_OUT_MS_MAX = 90_000;
const WAITING_OUT_MS_MAX = 12_000;
const TICK_MS = 1000;

/** What the page knows; everything on the screen follows from it (see `show`). */
const facts = {
  reading: "loading",
  session: null,
  scene: null,
  replay: null,
  isReplayOpen: false,
  overSince: 0,
};

const at = elements();
const player = new Player(at.video);
const controls = new Controls(player, at.video, at);
const feed = new Feed(SESSION, hear);
const heartbeat = new Heartbeat(`${SESSION}/heartbeat`, ID);
facts.replay = new Replay(show);
feed.isPlaying = () => player.isFollowed;

player.addEventListener("change", show);
at.action.addEventListener("click", () => {
  facts.isReplayOpen = true;
  show();
  at.stage.focus({ preventScroll: true });
});
at.share.addEventListener("click", share);
at.logo.addEventListener("error", () => (at.logo.hidden = true));
setInterval(show, TICK_MS);
feed.start();

function hear({ reading, session }) {
  facts.reading = reading;
  facts.session = session;
  if (isOver(session) && reading === "ok") {
    facts.overSince ||= performance.now();
    facts.replay.look(session, now());
  }
  show();
}

/** Bring the screen and the player in line with the facts; may be called at any time. */
function show() {
  const { session } = facts;
  const known = {
    reading: facts.reading,
    now: now(),
    replay: facts.replay,
    isPlayingOut: isPlayingOut(),
    isReplayOpen: facts.isReplayOpen,
  };
  const name = sceneOf(session, known);
  const scene = SCENES[name];
  const hasPicture = Boolean(scene.plays);
  const hasChanged = name !== facts.scene;
  facts.scene = name;

  at.share.hidden = session === null || !(navigator.share || navigator.clipboard);
  if (scene.plays === "live") player.play("live", session.hls_url);
  else if (scene.plays === "replay") player.play("replay", facts.replay.url);
  else player.stop();
  if (facts.scene !== name) return; // the player's change has shown what came of it

  feed.pace = written(name, "asks", session, known);
  if (player.plays === "live" && player.isFollowed) heartbeat.start();
  else heartbeat.stop();

  document.body.dataset.scene = name;
  at.stage.dataset.view = hasPicture ? "picture" : "curtain";
  showCurtain(name, scene, known);
  showNotice(scene);
  controls.show({ hasPicture, isExplained: Boolean(scene.notice) });
  if (session) showAbout(session, scene);
  if (hasChanged) announce(name, scene, known);
}

function showCurtain(name, scene, known) {
  const { session } = facts;
  write(at.eyebrow, written(name, "eyebrow", session, known));
  write(at.headline, written(name, "headline", session, known));
  write(at.line, written(name, "line", session, known));
  at.pulse.hidden = !scene.waits;
  at.action.hidden = scene.action !== "replay";
  at.countdown.hidden = !scene.counts;
  if (scene.counts) showCountdown(Date.parse(session.scheduled_start_time) - known.now);
}

function showCountdown(leftMs) {
  const fields = times.countdown(leftMs / 1000);
  if (at.countdown.childElementCount !== fields.length) {
    at.countdown.replaceChildren(
      ...fields.map(() => {
        const field = document.createElement("div");
        field.append(document.createElement("b"), document.createElement("span"));
        return field;
      }),
    );
  }
  fields.forEach(([number, unit], index) => {
    const [figure, label] = at.countdown.children[index].children;
    write(figure, number);
    write(label, unit);
  });
}

/** What is the matter with the show goes over the picture; with this viewer's line, below it. */
function showNotice(scene) {
  write(at.noticeText, scene.notice ?? "");
  at.notice.hidden = !scene.notice;
  const isLost = facts.reading === "unreachable" && facts.session !== null;
  write(at.toastText, isLost ? "No news from the show at the moment. Trying again." : "");
  at.toast.hidden = !isLost;
}

function showAbout(session, scene) {
  const { preset, room } = session;
  write(at.title, session.title);
  document.title = scene.badge?.[1] === "live" ? `● ${session.title}` : session.title;
  write(at.room, room?.title ?? "Greenroom");
  write(at.host, room?.host?.username ? `Hosted by ${room.host.username}` : "");
  at.host.hidden = !at.host.textContent;
  write(at.description, session.description ?? "");
  at.description.hidden = !session.description;

  at.badge.hidden = !scene.badge;
  if (scene.badge) {
    write(at.badge, scene.badge[0]);
    at.badge.dataset.tone = scene.badge[1];
  }
  showViewers(session, scene);
  write(at.when, whenText(session, scene));
  at.when.hidden = !at.when.textContent;
  showPreset(preset);
}

function showViewers(session, scene) {
  const isCounted = session.preset?.viewer_count_visible !== false;
  const count = session.viewer_count ?? 0;
  // The count follows a few seconds behind: nobody reads "0 watching" while watching.
  at.viewers.hidden = !isCounted || count === 0 || scene.badge?.[1] !== "live";
  write(at.viewersText, `${times.count(count)} watching`);
  at.viewersText.title = `Most so far: ${times.count(session.max_viewers ?? 0)}`;
}

function whenText(session, scene) {
  if (scene.badge?.[1] === "live" && session.started_at) {
    return `Started ${times.since((now() - Date.parse(session.started_at)) / 1000)}`;
  }
  if (isOver(session) && session.started_at && session.playback?.segments !== 0) {
    return `Streamed live on ${times.day(session.started_at)}`;
  }
  if (!isOver(session) && scene.badge && !scene.counts && session.scheduled_start_time) {
    return times.moment(session.scheduled_start_time);
  }
  return "";
}

function showPreset(preset) {
  paint(preset?.primary_color);
  const logo = webAddress(preset?.logo);
  if (logo && at.logo.getAttribute("src") !== logo) {
    at.logo.hidden = false;
    at.logo.src = logo;
  }
  const home = webAddress(preset?.logo_destination_url);
  if (home && at.brand.getAttribute("href") !== home) {
    at.brand.href = home;
    at.brand.rel = "noopener";
  }
}

function announce(name, scene, known) {
  const { session } = facts;
  const text = scene.says === undefined ? undefined : written(name, "says", session, known);
  const fallback = scene.notice ?? written(name, "headline", session, known);
  write(at.announcer, text ?? fallback);
}

async function share() {
  const link = { title: document.title.replace("● ", ""), url: location.href };
  if (navigator.share && matchMedia("(hover: none)").matches) {
    await navigator.share(link).catch(() => {});
    return;
  }
  try {
    await navigator.clipboard.writeText(link.url);
    write(at.shareLabel, "Link copied");
    write(at.announcer, "Link copied");
  } catch {
    write(at.shareLabel, "Copy the address above");
  }
  setTimeout(() => write(at.shareLabel, "Share"), 2500);
}

function isOver(session) {
  const phase = session?.phase ?? session?.status;
  return ["ended", "failed", "expired"].includes(phase);
}

function isPlayingOut() {
  if (!player.isPlayingOut) return false;
  if (!facts.overSince) return true;
  const passed = performance.now() - facts.overSince;
  return passed < (player.state === "waiting" ? WAITING_OUT_MS_MAX : PLAYING_OUT_MS_MAX);
}

/** Milliseconds of the server's clock, where the viewer's is off. */
function now() {
  return Date.now() + feed.skewMs;
}

/** An address of the web, or null: a preset may hold anything. */
function webAddress(text) {
  if (!text) return null;
  try {
    const url = new URL(text, location.href);
    return ["http:", "https:"].includes(url.protocol) || text.startsWith("data:image/")
      ? url.href
      : null;
  } catch {
    return null;
  }
}
