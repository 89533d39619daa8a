// The server's time, by its last welcome: what expires does so for everybody at once, whatever the device's clock says.

const WAIT_LIMIT_MS = 2 ** 31 - 1; // a timer cannot wait longer

let ahead = 0;

/** Set the clock by a welcome. */
export function setClock(now) {
  ahead = now - Date.now();
}

/** Server time in milliseconds. */
export function serverNow() {
  return Date.now() + ahead;
}

/** Calls `act` when a time that was set has come; a new time takes the place of the old one. */
export class Alarm {
  #timer = 0;

  constructor(act) {
    this.act = act;
  }

  /** `at` is server time; Infinity for never. It may go off early, where `at` is weeks away. */
  set(at) {
    clearTimeout(this.#timer);
    if (at === Infinity) return;
    this.#timer = setTimeout(this.act, Math.min(Math.max(at - serverNow(), 0) + 1, WAIT_LIMIT_MS));
  }
}
