/** Tell the timeline's events as sentences; what nobody wrote a sentence for is told by its name. */

/** From an event's kind to its sentence, and its tone: "quiet", "good", "wait" or "bad". */
const SENTENCES = {
  "session.created":          () => ["The show was announced", "quiet"],
  "session.rescheduled":      () => ["The show was moved to another time", "quiet"],
  "session.settings_changed": () => ["The show's settings were changed", "quiet"],
  "session.deleted":          () => ["The show was deleted", "quiet"],
  "session.wanted":           (facts) => WANTED[facts.wanted] ?? null,
  "session.phase":            (facts) => PHASES[facts.after] ?? null,
  "session.trouble":          (facts) => [`Trouble: ${facts.detail || facts.slug}`, "bad"],
  "session.quarantined":      () => ["Nobody works on this show any more", "bad"],
  "session.keys_replaced":    () => ["The stream keys were replaced", "quiet"],
  "rtmp_ingress.ready":       () => ["The RTMP address is ready", "quiet"],
  "rtmp_ingress.replaced":    () => ["The RTMP key is another one now", "wait"],
  "whip_ingress.ready":       () => ["The WHIP address is ready", "quiet"],
  "whip_ingress.replaced":    () => ["The WHIP key is another one now", "wait"],
  "media.arrived":            (facts) => [`Your picture arrived ${via(facts.source)}`, "good"],
  "media.returned":           (facts) => [`Your picture is back ${via(facts.source)}`, "good"],
  "media.source_changed":     (facts) => [`The picture comes ${via(facts.source)} now`, "quiet"],
  "media.lost":               () => ["Your picture was lost", "bad"],
  "take.reserved":            (facts) => [TAKES[facts.reason] ?? "A take begins", "quiet"],
  "take.started":             () => ["The egress is at work", "quiet"],
  "take.ended":               () => ["The egress has finished", "quiet"],
  "take.stopping":            () => ["The egress is asked to finish", "quiet"],
  "take.refused":             () => ["LiveKit refused to start an egress", "bad"],
  "take.abandoned":           () => ["An egress was given up", "wait"],
  "playback.pending":         () => ["There is nothing to play yet", "quiet"],
  "playback.ready":           () => ["Viewers can play", "good"],
  "playback.stalled":         () => ["Viewers are stuck", "bad"],
  "playback.ended":           () => ["The playlist has its end", "quiet"],
  "recording.started":        () => ["The recording begins", "quiet"],
  "recording.finished":       (facts) => RECORDINGS[facts.verdict] ?? ["The recording is finished", "quiet"],
  "part.abandoned":           (facts) => [`Gave up waiting for the ${facts.part}`, "wait"],
  "participant.added":        () => ["Somebody was given a role", "quiet"],
  "participant.removed":      () => ["A role was taken away", "quiet"],
  "job.failed":               (facts) => [`${JOBS[facts.kind] ?? "It"} did not work`, "bad"],
  "job.done":                 () => null,
  "job.superseded":           () => null,
};

const WANTED = {
  open: ["You opened the green room", "quiet"],
  live: ["You went live", "quiet"],
  ended: ["The show is to end", "quiet"],
  prepared: ["Going live was taken back", "bad"],
};
const PHASES = {
  provisioning: ["The room is being made", "quiet"],
  open: ["The green room is open", "good"],
  waiting_for_media: ["On air", "good"],
  live: ["Live", "good"],
  reconnecting: ["Waiting for your picture to come back", "wait"],
  ending: ["Ending", "quiet"],
  ended: ["The show is over", "quiet"],
  failed: ["The show was lost", "bad"],
  expired: ["The show's time passed", "quiet"],
  scheduled: ["Nothing is open", "quiet"],
};
const TAKES = {
  first: "The first take begins",
  source_changed: "A new take begins, because the picture comes from elsewhere",
  egress_gone: "A new take begins, because the egress was gone",
  no_progress: "A new take begins, because the egress made no progress",
};
const RECORDINGS = {
  verified: ["The recording is whole and checked", "good"],
  partial: ["The recording is kept, and something is missing", "wait"],
  lost: ["The recording is lost", "bad"],
};
const JOBS = { start: "Opening the green room", go_live: "Going live", end: "Ending" };

/** `{text, tone}`; null for what is told by another event already. */
export function sentenceOf({ kind, facts }) {
  if (kind in SENTENCES) {
    const told = SENTENCES[kind](facts ?? {});
    return told && { text: told[0], tone: told[1] };
  }
  const words = kind.replace(/[._]/g, " ");
  return { text: words.charAt(0).toUpperCase() + words.slice(1), tone: "quiet" };
}

function via(source) {
  const [, way] = /#(\w+)$/.exec(source ?? "") ?? [];
  return { rtmp: "by RTMP", whip: "by WHIP" }[way] ?? "from a browser";
}
