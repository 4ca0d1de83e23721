/** Say in words how the show is, what it waits for and what is ready: SITUATIONS, STEPS, TROUBLES. */

import * as times from "./times.js";

/**
 * One line for each situation of a show.
 *
 *   tone      of the lamp: "quiet", "wait", "good" or "bad"
 *   headline, line   what stands beside it; a function is asked with the facts
 *   badge     the word beside the title, and its tone
 */
export const SITUATIONS = {
  announced:   { tone: "quiet", badge: ["Upcoming", "quiet"], headline: "Nothing is open yet",
                 line: (facts) => facts.session.scheduled_start_time
                     ? `Announced for ${times.moment(facts.session.scheduled_start_time)}. `
                       + "Open the green room to check picture and sound unseen."
                     : "Open the green room to check picture and sound unseen, or go live at once." },
  opening:     { tone: "wait", badge: ["Opening", "quiet"], headline: "Setting the stage",
                 line: "The room and the addresses for encoders are being made." },
  greenEmpty:  { tone: "wait", badge: ["Green room", "quiet"],
                 headline: "The green room is open, waiting for your picture",
                 line: "Use this camera, or start your encoder. Nobody sees you yet." },
  greenReady:  { tone: "good", badge: ["Green room", "quiet"], headline: "Your picture is here",
                 line: "Nobody sees it yet. Go live when you are ready." },
  waiting:     { tone: "wait", badge: ["On air", "live"], headline: "On air, waiting for your picture",
                 line: "Viewers see that the show has begun. Use this camera, or start your encoder." },
  packing:     { tone: "wait", badge: ["On air", "live"],
                 headline: "Your picture is here, and on its way to viewers",
                 line: "The first seconds are being packed. That takes some five seconds." },
  live:        { tone: "good", badge: ["Live", "live"], headline: "You are live",
                 line: (facts) => `Viewers see you ${delayOf(facts)} later.` },
  dark:        { tone: "good", badge: ["Live", "live"], headline: "You are live with your camera off",
                 line: "Viewers hear you and see no picture." },
  stalled:     { tone: "bad", badge: ["Live", "live"], headline: "Viewers are stuck",
                 line: "Your picture arrives, and no new seconds of it come out. "
                     + "Greenroom begins anew by itself." },
  lost:        { tone: "bad", badge: ["Live", "live"], headline: "Your picture is gone",
                 line: (facts) => `Viewers see the last picture. ${windowOf(facts)}` },
  ending:      { tone: "wait", badge: ["Ending", "quiet"], headline: "Ending the show",
                 line: "Encoders are let go, the last seconds are written, the room is closed." },
  ended:       { tone: "quiet", badge: ["Ended", "quiet"], headline: "The show is over",
                 line: (facts) => endOf(facts) },
  failed:      { tone: "bad", badge: ["Lost", "quiet"], headline: "The show was lost",
                 line: (facts) => `LiveKit refused what it could not do without. ${endOf(facts)}` },
  expired:     { tone: "quiet", badge: ["Expired", "quiet"], headline: "The show did not take place",
                 line: "Its time passed and nobody began it. Announce another one." },
};

/** From a phase to the situation; where it depends, a function of the facts. */
const BY_PHASE = {
  scheduled:         () => "announced",
  provisioning:      () => "opening",
  open:              ({ health }) => (hasPicture(health) ? "greenReady" : "greenEmpty"),
  waiting_for_media: ({ health }) => (hasPicture(health) ? "packing" : "waiting"),
  live:              (facts) => onAir(facts),
  reconnecting:      ({ health }) => (hasPicture(health) ? "packing" : "lost"),
  ending:            () => "ending",
  ended:             () => "ended",
  failed:            () => "failed",
  expired:           () => "expired",
};

/** Name the situation. `facts`: {session, health, recording, now (ms)}. */
export function situationOf(facts) {
  return BY_PHASE[facts.session.phase](facts);
}

/** One member of a situation's line, a text. */
export function written(name, member, facts) {
  const text = SITUATIONS[name][member];
  return typeof text === "function" ? text(facts) : text;
}

/** What a trouble means for the host; the catalogue's own words where nothing stands here. */
const TROUBLES = {
  "egress-unavailable": "No egress takes the show: viewers get no picture and nothing is recorded. "
      + "Greenroom goes on asking.",
  "egress-failed": "The egress starts and ends at once: viewers get no picture and nothing is recorded. "
      + "Greenroom goes on trying.",
  "livekit-unreachable": "LiveKit cannot be reached. Greenroom goes on trying.",
  "livekit-no-answer": "LiveKit does not answer in time. Greenroom goes on trying.",
  "livekit-unavailable": "LiveKit cannot do it now. Greenroom goes on trying.",
  "livekit-key-refused": "LiveKit does not take Greenroom's key. The operator has to correct it.",
  "session-quarantined": "Working on this show went wrong too often. Nobody touches it any more.",
};

export function troubleOf(session) {
  if (!session.trouble) return "";
  return TROUBLES[session.trouble.slug] ?? session.trouble.detail;
}

/** What the notes of the stream's health mean. */
export const NOTES = {
  "sound-only": "Sound arrives, and no picture.",
  "picture-off": "The camera is switched off.",
  "no-sound": "A picture arrives without any sound.",
  "sound-off": "The microphone is switched off.",
  "low-frame-rate": "The picture has too few frames a second to look like motion.",
  connecting: "An encoder is connected; its media is not understood yet.",
  "ingress-error": "An encoder was refused or lost.",
  "segments-late": "The newest seconds for viewers are late.",
};

/** The word and tone of a stream's health. */
export const HEALTH = {
  off: ["Off", "quiet"],
  waiting: ["Waiting", "quiet"],
  good: ["Good", "good"],
  poor: ["Poor", "wait"],
  lost: ["Lost", "bad"],
  stalled: ["Stalled", "bad"],
  unknown: ["Unknown", "wait"],
};

/** What stands between nothing and a recorded show, in order: `[{name, state, text}]`. */
export function stepsOf(facts) {
  const { session, health, recording } = facts;
  const isOpen = !["scheduled", "provisioning"].includes(session.phase);
  const isOver = ["ended", "failed", "expired"].includes(session.phase);
  const isOnAir = ["waiting_for_media", "live", "reconnecting"].includes(session.phase);
  const sees = hasPicture(health);
  const hears = sees && !health.notes.some((note) => ["no-sound", "sound-off"].includes(note));
  const take = health.take?.state === "active" && health.take.started_at !== null;
  const { state: playback } = session.playback;
  const step = (name, isDone, text, isBad = false) => ({
    name,
    state: isBad ? "bad" : isDone ? "done" : isOver ? "off" : "wait",
    text,
  });
  return [
    step("Room", isOpen && !isOver, isOver ? "closed" : isOpen ? "open" : "not open yet"),
    step("Picture", sees, sees ? VIA[health.program.via] : "none yet", health.health === "lost"),
    step("Sound", hears, hears ? "arrives" : "none yet", health.notes.includes("no-sound")),
    step("Packaging", isOnAir && take, isOnAir && take ? "at work" : "begins on air",
         health.health === "stalled"),
    step("Playback", ["ready", "ended"].includes(playback), PLAYBACK[playback],
         playback === "stalled"),
    recordingStep(session, recording, step),
  ];
}

const VIA = { browser: "from a browser", rtmp: "by RTMP", whip: "by WHIP" };
const PLAYBACK = { pending: "nothing to play yet", ready: "viewers can play", stalled: "stuck",
                   ended: "played to the end" };

function recordingStep(session, recording, step) {
  if (!session.recording_enabled) return { name: "Recording", state: "off", text: "switched off" };
  if (!recording) return step("Recording", false, "begins on air");
  const { status, verdict } = recording;
  if (status === "completed") {
    return step("Recording", true, verdict === "partial" ? "kept in part" : "kept and checked");
  }
  if (status === "failed") return step("Recording", false, "lost", true);
  return step("Recording", true, "runs");
}

/** How the recording is: `{pill: [word, tone], line}`. */
export function recordingOf({ session, recording }) {
  if (!session.recording_enabled) {
    return { pill: ["Off", "quiet"], line: "This show is not recorded." };
  }
  if (!recording) return { pill: ["Not yet", "quiet"], line: "It begins when the show is on air." };
  const length = recording.duration ? times.length(recording.duration) : "";
  const size = recording.file_size ? sizeOf(recording.file_size) : "";
  const facts = [length, size].filter(Boolean).join(", ");
  if (recording.status === "recording") {
    const isOver = ["ended", "failed", "ending"].includes(session.phase);
    return isOver
      ? { pill: ["Finishing", "wait"], line: "It is put together and checked." }
      : { pill: ["Recording", "good"], line: "Everything that viewers get is kept." };
  }
  if (recording.status === "failed") {
    return { pill: ["Lost", "bad"], line: `Nothing playable is left (${recording.verdict_reason}).` };
  }
  return recording.verdict === "partial"
    ? { pill: ["Partial", "wait"], line: `Something is missing (${recording.verdict_reason}). ${facts}` }
    : { pill: ["Verified", "good"], line: `Whole and checked. ${facts}` };
}

export function sizeOf(bytes) {
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  const place = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length - 1);
  const number = bytes / 1000 ** place;
  return `${number < 10 && place > 0 ? number.toFixed(1) : Math.round(number)} ${units[place]}`;
}

function hasPicture(health) {
  return health.program.identity !== null && health.health !== "lost";
}

function onAir(facts) {
  const { session, health } = facts;
  if (session.playback.state === "pending") return "packing";
  if (session.playback.state === "stalled" || health.health === "stalled") return "stalled";
  return health.notes.includes("picture-off") ? "dark" : "live";
}

/** A player keeps three segments of 2 s between itself and the newest one, which took 2 s. */
const DELAY_SECONDS = 8;

function delayOf({ health }) {
  const late = Math.max(0, (health.output.age_seconds ?? 0) - 2);
  return `about ${Math.round(DELAY_SECONDS + Math.min(late, 4))} seconds`;
}

function windowOf({ session, health, now }) {
  const seconds = session.preset?.reconnect_window_seconds ?? 60;
  if (!health.source_lost_at) return "Come back soon, and the show goes on.";
  const left = seconds - (now - Date.parse(health.source_lost_at)) / 1000;
  return left > 1
    ? `Come back within ${times.length(left)}, and the show goes on.`
    : "The show ends now.";
}

const REASONS = {
  reconnect_window_closed: "It ended because the picture did not come back.",
  max_duration: "It ended because it reached its longest time.",
  no_media: "It ended because nobody sent a picture.",
  never_went_live: "The green room was closed because nobody went live.",
};

function endOf({ session }) {
  const parts = [];
  if (session.started_at) {
    parts.push(`It was on air for ${times.length(session.duration)}.`);
    const peak = times.count(session.max_viewers);
    if (session.max_viewers > 0) parts.push(`At most ${peak} watched at once.`);
  }
  if (REASONS[session.end_reason]) parts.push(REASONS[session.end_reason]);
  return parts.join(" ") || "It was closed before it was on air.";
}
