/** Say times and numbers the way a viewer reads them, in the viewer's zone and language. */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** "Tuesday, 24 November at 20:00 CET". */
export function moment(iso) {
  return new Intl.DateTimeFormat(undefined, {
    weekday: "long",
    day: "numeric",
    month: "long",
    hour: "numeric",
    minute: "2-digit",
    timeZoneName: "short",
  }).format(new Date(iso));
}

/** "24 November 2026". */
export function day(iso) {
  return new Intl.DateTimeFormat(undefined, { dateStyle: "long" }).format(new Date(iso));
}

/** Seconds as [["02", "hours"], ["14", "minutes"], ...]: two or three fields, the largest first. */
export function countdown(seconds) {
  const left = Math.max(0, Math.floor(seconds));
  const fields = [
    [Math.floor(left / DAY), "day", "days"],
    [Math.floor((left % DAY) / HOUR), "hour", "hours"],
    [Math.floor((left % HOUR) / MINUTE), "minute", "minutes"],
    [left % MINUTE, "second", "seconds"],
  ];
  const shown = left >= DAY ? fields.slice(0, 3) : left >= HOUR ? fields.slice(1) : fields.slice(2);
  return shown.map(([count, one, many]) => [
    String(count).padStart(2, "0"),
    count === 1 ? one : many,
  ]);
}

/** Seconds as a player's clock: "4:05", "1:02:03". */
export function clock(seconds) {
  const whole = Number.isFinite(seconds) ? Math.max(0, Math.floor(seconds)) : 0;
  const [hours, minutes] = [Math.floor(whole / HOUR), Math.floor((whole % HOUR) / MINUTE)];
  const tail = String(whole % MINUTE).padStart(2, "0");
  return hours > 0
    ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}`
    : `${minutes}:${tail}`;
}

/** Seconds as a length in words: "45 sec", "42 min", "1 h 5 min". */
export function length(seconds) {
  if (seconds < MINUTE) return `${Math.max(1, Math.round(seconds))} sec`;
  const minutes = Math.round(seconds / MINUTE);
  if (minutes < 60) return `${minutes} min`;
  const rest = minutes % 60;
  return rest ? `${Math.floor(minutes / 60)} h ${rest} min` : `${Math.floor(minutes / 60)} h`;
}

/** "just now", "12 min ago". */
export function since(seconds) {
  return seconds < MINUTE ? "just now" : `${length(Math.floor(seconds / MINUTE) * MINUTE)} ago`;
}

/** "1,204", and "12K" from ten thousand on. */
export function count(number) {
  const compact = number >= 10_000 ? { notation: "compact", maximumFractionDigits: 1 } : {};
  return new Intl.NumberFormat(undefined, compact).format(number);
}
