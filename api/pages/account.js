/** Whoever uses the studio: how they came in, and how the API is asked in their name. */

const KEPT = "greenroom-studio";
/** An API key can be recognised; anything else that is pasted is a token. */
const KEY_PREFIX = "grk_";
/** go_live and end wait for what they do; nothing waits longer. */
const PATIENCE_MS = 25_000;

/** The API said no, and why: a line of its catalogue of problems. */
export class Refusal extends Error {
  constructor(status, problem, retryAfter) {
    super(problem.detail ?? problem.message ?? "The request was refused.");
    this.status = status;
    this.slug = problem.error ?? "unknown";
    this.title = problem.title ?? "That did not work";
    this.retryAfter = retryAfter;
  }
}

/** The API did not answer. */
export class Unreachable extends Error {}

export class Account {
  #base;
  #credential;
  #renewing = null;

  /** Called when nobody is logged in any more, with the reason in words. */
  onLocked = () => {};

  constructor(base) {
    this.#base = base;
    const token = fromAddress();
    this.#credential = token ? credentialOf(token) : recall();
    if (token) this.#keep(this.#credential);
  }

  get isIn() {
    return this.#credential !== null;
  }

  useToken(text) {
    this.#keep(credentialOf(text.trim()));
  }

  /** Raises Refusal or Unreachable. */
  async logIn(email, password) {
    const answer = await this.#send("POST", "/auth/login", { body: { email, password } }, {});
    const { access_token: access, refresh_token: refresh } = await dataOf(answer);
    this.#keep({ access, refresh });
  }

  async logOut() {
    const refresh = this.#credential?.refresh;
    this.#keep(null);
    if (!refresh) return;
    const body = { refresh_token: refresh };
    await this.#send("POST", "/auth/logout", { body }, {}).catch(() => {});
  }

  /** Ask the API; the answer's data. Raises Refusal or Unreachable. */
  async ask(method, path, options = {}) {
    return dataOf(await this.fetch(method, path, options));
  }

  /** Ask the API; its answer, whatever it is, but for 401. Raises Refusal (401) or Unreachable. */
  async fetch(method, path, options = {}) {
    const shown = this.#credential;
    let answer = await this.#send(method, path, options, headersOf(shown));
    if (answer.status !== 401) return answer;
    // Another request may have renewed it meanwhile.
    if (shown !== this.#credential || (await this.#renew())) {
      answer = await this.#send(method, path, options, headersOf(this.#credential));
      if (answer.status !== 401) return answer;
    }
    const refusal = await refusalOf(answer);
    if (refusal instanceof Refusal) this.#lock(refusal);
    throw refusal;
  }

  async #renew() {
    const refresh = this.#credential?.refresh;
    if (!refresh) return false;
    this.#renewing ??= this.#renewNow(refresh).finally(() => (this.#renewing = null));
    return this.#renewing;
  }

  async #renewNow(refresh) {
    const body = { refresh_token: refresh };
    const answer = await this.#send("POST", "/auth/refresh", { body }, {});
    if (!answer.ok) {
      if (answer.status >= 500) throw new Unreachable();
      return false;
    }
    const data = await dataOf(answer);
    this.#keep({ access: data.access_token, refresh: data.refresh_token });
    return true;
  }

  #lock(refusal) {
    this.#keep(null);
    const isOld = refusal.slug === "token-expired";
    this.onLocked(isOld ? "Your login is over. Log in again." : refusal.message);
  }

  async #send(method, path, { body, headers, signal }, who) {
    try {
      return await fetch(this.#base + path, {
        method,
        headers: {
          Accept: "application/json",
          ...(body ? { "Content-Type": "application/json" } : {}),
          ...headers,
          ...who,
        },
        body: body && JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
        signal: signal ?? AbortSignal.timeout(PATIENCE_MS),
      });
    } catch (error) {
      throw new Unreachable(error.message, { cause: error });
    }
  }

  #keep(credential) {
    this.#credential = credential;
    try {
      if (credential) sessionStorage.setItem(KEPT, JSON.stringify(credential));
      else sessionStorage.removeItem(KEPT);
    } catch {
      // Storage can be forbidden: then a reload asks again.
    }
  }
}

/** A word nobody used before, also where the page is not served securely. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function dataOf(answer) {
  if (!answer.ok) throw await refusalOf(answer);
  try {
    return (await answer.json()).data;
  } catch (error) {
    throw new Unreachable("The answer was cut.", { cause: error });
  }
}

/** What is no problem document of ours comes from a proxy before us: we did not answer. */
async function refusalOf(answer) {
  let problem = null;
  try {
    problem = await answer.json();
  } catch {
    // See below.
  }
  if (problem?.success !== false) return new Unreachable(`HTTP ${answer.status}`);
  return new Refusal(answer.status, problem, Number(answer.headers.get("Retry-After")) || null);
}

function credentialOf(token) {
  return token.startsWith(KEY_PREFIX) ? { key: token } : { access: token };
}

function headersOf(credential) {
  if (credential?.key) return { "X-API-Key": credential.key };
  return credential?.access ? { Authorization: `Bearer ${credential.access}` } : {};
}

/** The token in the page's address, which is taken out of it: nobody should copy it by mistake. */
function fromAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token !== null) history.replaceState(null, "", location.pathname + location.search);
  return token?.trim() || null;
}

function recall() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT));
  } catch {
    return null;
  }
}
