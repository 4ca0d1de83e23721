/** Run the preflight, and show what each check came to. */

import { Refusal } from "./account.js";
import { make, write } from "./elements.js";

const NAMES = {
  livekit: "LiveKit",
  key: "LiveKit's key",
  worker: "Worker",
  ingress: "Ingress",
  egress: "Egress",
  storage: "Storage",
  webhook: "Webhooks",
  clock: "Clocks",
};
const STATES = { true: "done", false: "bad", null: "off" };
const WORDS = { true: "ok", false: "wrong", null: "cannot be seen from here" };

export class Checks {
  #at;
  #ask;

  /** `ask()` asks the API for the preflight. */
  constructor(at, ask) {
    this.#at = at;
    this.#ask = ask;
    at.preflightRun.addEventListener("click", () => this.#run());
  }

  async #run() {
    const { preflightRun: button, preflightLine: line, checks: list } = this.#at;
    button.disabled = true;
    write(button, "Checking");
    write(line, "This takes up to ten seconds.");
    try {
      const told = await this.#ask();
      list.replaceChildren(...told.checks.map(rowOf));
      list.hidden = false;
      write(line, summaryOf(told));
    } catch (error) {
      write(line, error instanceof Refusal ? error.message : "Greenroom does not answer. Try again.");
    } finally {
      button.disabled = false;
      write(button, "Run checks");
    }
  }
}

function summaryOf({ ok, checks }) {
  if (ok === true) return "Everything is well.";
  const wrong = checks.filter((check) => check.ok === false).length;
  if (wrong) return wrong === 1 ? "One thing is wrong." : `${wrong} things are wrong.`;
  return "Nothing is wrong; not everything can be seen from here.";
}

function rowOf({ name, ok, seen, todo }) {
  const row = make("li", "step");
  row.dataset.state = STATES[ok];
  const words = make("div", "", make("b", "", NAMES[name] ?? name));
  words.append(make("span", "unseen", `: ${WORDS[ok]}.`));
  words.append(make("p", "soft", `${seen.charAt(0).toUpperCase()}${seen.slice(1)}.`));
  if (todo && ok !== true) words.append(make("p", "todo", todo));
  row.append(make("i", "mark"), words);
  return row;
}
