/** SCENES, what the audience can be shown; and which of them a session's state asks for. */

import * as times from "./times.js";

/**
 * One line for each thing an audience can see.
 *
 *   badge     the word beside the title, and its tone
 *   eyebrow, headline, line   what is written on the curtain; without a headline there is the picture
 *   notice    a quiet word over the picture
 *   says      what a screen reader is told on arrival; by default the headline, or the notice
 *   plays     what the player should do: "live", "replay" or nothing
 *   asks      how soon the API is asked again: "soon", "later" or "never"
 */
export const SCENES = {
  loading:      { badge: null, eyebrow: "", headline: "One moment", line: "Looking for the show.",
                  waits: true, says: "", asks: "soon" },
  missing:      { badge: null, eyebrow: "Not found", headline: "We could not find this show",
                  line: "The link may be mistyped, or the show has been removed. "
                      + "Ask whoever sent it for a new one.", asks: "never" },
  unreachable:  { badge: null, eyebrow: "No connection", headline: "We cannot reach the show",
                  line: "We keep trying, and this page opens by itself as soon as it works.",
                  waits: true, asks: "soon" },

  scheduled:    { badge: ["Upcoming", "quiet"], eyebrow: "Starts in", headline: null,
                  counts: true, line: (show) => times.moment(show.scheduled_start_time),
                  says: (show) => `Starts ${times.moment(show.scheduled_start_time)}`,
                  asks: (show, facts) => (isNear(show, facts) ? "soon" : "later") },
  unscheduled:  { badge: ["Upcoming", "quiet"], eyebrow: "Upcoming", headline: "Coming up",
                  line: "The time has not been announced yet. This page starts by itself.",
                  asks: "later" },
  late:         { badge: ["Upcoming", "quiet"], eyebrow: "Any moment now",
                  headline: "Starting soon", waits: true,
                  line: "The host is not on air yet. Stay here, the show starts by itself.",
                  asks: "soon" },
  backstage:    { badge: ["Upcoming", "quiet"], eyebrow: "Almost there",
                  headline: "The host is getting ready", waits: true,
                  line: (show) => show.scheduled_start_time
                      ? `Announced for ${times.moment(show.scheduled_start_time)}. `
                        + "The show starts here by itself."
                      : "Sound and picture are being checked. The show starts here by itself.",
                  asks: "soon" },

  waiting:      { badge: ["Live", "live"], eyebrow: "On air", headline: "The picture is on its way",
                  line: "The show has begun. Picture and sound appear here in a moment.",
                  waits: true, asks: "soon" },
  live:         { badge: ["Live", "live"], plays: "live", says: "The show is live",
                  asks: "soon" },
  reconnecting: { badge: ["Live", "live"], plays: "live", asks: "soon",
                  notice: "The host lost connection. The show goes on here by itself." },
  stalled:      { badge: ["Live", "live"], plays: "live", asks: "soon",
                  notice: "Nothing is arriving at the moment. We keep trying." },
  ending:       { badge: ["Live", "live"], plays: "live", asks: "soon",
                  notice: "The show is ending." },
  closing:      { badge: null, eyebrow: "One moment", headline: "The show is closing", waits: true,
                  line: "", asks: "soon" },

  replay:       { badge: ["Replay", "quiet"], eyebrow: "The show is over", plays: null,
                  headline: "The replay is here", line: (show, facts) => replayLine(show, facts),
                  action: "replay", asks: "never" },
  replaying:    { badge: ["Replay", "quiet"], plays: "replay", says: "Replay", asks: "never" },
  preparing:    { badge: ["Ended", "quiet"], eyebrow: "That was it",
                  headline: "Thank you for watching", waits: true,
                  line: "The recording is being prepared. It appears here as soon as it is ready.",
                  says: "The show has ended. The recording is being prepared.", asks: "later" },
  over:         { badge: ["Ended", "quiet"], eyebrow: "The show is over",
                  headline: "Thank you for watching",
                  line: (show) => show.ended_at ? `It ended on ${times.day(show.ended_at)}. `
                      + "There is no recording to watch." : "There is no recording to watch.",
                  says: "The show has ended.", asks: "never" },
  neverBegan:   { badge: ["Ended", "quiet"], eyebrow: "Not this time",
                  headline: "This show did not take place",
                  line: "It was closed before there was anything to watch.", asks: "never" },
  expired:      { badge: ["Expired", "quiet"], eyebrow: "Not this time",
                  headline: "This show did not take place",
                  line: (show) => show.scheduled_start_time
                      ? `It was announced for ${times.moment(show.scheduled_start_time)}.` : "",
                  asks: "never" },
  failed:       { badge: ["Ended", "quiet"], eyebrow: "The show is over",
                  headline: "The show was interrupted",
                  line: "A technical problem ended it early. We are sorry.", asks: "never" },
};

/** From each phase of a session, the scene; where it depends, a function of `facts`. */
const BY_PHASE = {
  scheduled:         (show, facts) => announced(show, facts),
  provisioning:      () => "backstage",
  open:              () => "backstage",
  waiting_for_media: (show) => (hasPicture(show) ? "reconnecting" : "waiting"),
  live:              (show) => (hasPicture(show) ? BY_PLAYBACK[show.playback.state] : "waiting"),
  reconnecting:      (show) => (hasPicture(show) ? "reconnecting" : "waiting"),
  ending:            (show) => (hasPicture(show) ? "ending" : "closing"),
  ended:             (show, facts) => afterwards(show, facts),
  failed:            (show, facts) => afterwards(show, facts),
  expired:           () => "expired",
};

/** What a show that is on air looks like to somebody who plays it. */
const BY_PLAYBACK = { ready: "live", stalled: "stalled", ended: "ending" };

/** A server that knows only the contract's status tells the phase by it. */
const PHASE_OF_STATUS = { scheduled: "scheduled", live: "live", ended: "ended", expired: "expired" };

/**
 * Name the scene. `facts` is what the page knows beside the session: {reading: "loading" | "ok" |
 * "missing" | "unreachable", now (ms), replay: see replay.js, isPlayingOut: the player has not yet
 * shown the show's last seconds, isReplayOpen: the viewer asked for the replay}.
 */
export function sceneOf(show, facts) {
  if (facts.reading === "missing") return "missing";
  if (show === null) return facts.reading === "unreachable" ? "unreachable" : "loading";
  const phase = show.phase ?? PHASE_OF_STATUS[show.status];
  return BY_PHASE[phase]?.(show, facts) ?? "loading";
}

/** One member of a scene's line, a text; functions are asked. */
export function written(scene, member, show, facts) {
  const text = SCENES[scene][member];
  return (typeof text === "function" ? text(show, facts) : text) ?? "";
}

/** A host may be early, but hardly ever by more than this. */
const NEAR_MS = 30 * 60_000;

function isNear(show, facts) {
  return Date.parse(show.scheduled_start_time) - facts.now < NEAR_MS;
}

function announced(show, facts) {
  if (!show.scheduled_start_time) return "unscheduled";
  return Date.parse(show.scheduled_start_time) > facts.now ? "scheduled" : "late";
}

function hasPicture(show) {
  if (!show.hls_url) return false;
  return show.playback ? show.playback.state !== "pending" : true;
}

function afterwards(show, facts) {
  if (facts.isPlayingOut) return "ending";
  if (facts.isReplayOpen) return "replaying";
  if (facts.replay.state === "ready") return "replay";
  if (show.phase === "failed") return facts.replay.state === "preparing" ? "preparing" : "failed";
  if (facts.replay.state === "preparing") return "preparing";
  if (facts.replay.state === "unknown") return "closing";
  return show.playback && show.playback.segments === 0 ? "neverBegan" : "over";
}

function replayLine(show, facts) {
  const parts = [];
  if (show.ended_at) parts.push(times.day(show.ended_at));
  if (facts.replay.seconds) parts.push(times.length(facts.replay.seconds));
  if (show.phase === "failed") parts.push("ended early by a technical problem");
  return parts.join("  ·  ");
}
