// What this tab remembers over a reload. Each tab has its own: two windows can be two players.

const PREFIX = "guildhall.";

export const store = {
  get(key) {
    try {
      return JSON.parse(sessionStorage.getItem(PREFIX + key));
    } catch {
      return null; // storage is switched off, or somebody else wrote there
    }
  },

  /** Without storage, or with a full one, the page works on; only a reload would lose what is not sent. */
  set(key, value) {
    try {
      sessionStorage.setItem(PREFIX + key, JSON.stringify(value));
    } catch {
      // as said
    }
  },

  drop(key) {
    try {
      sessionStorage.removeItem(PREFIX + key);
    } catch {
      // nothing was stored either
    }
  },

  /** Forget everything. */
  clear() {
    try {
      for (const key of Object.keys(sessionStorage)) if (key.startsWith(PREFIX)) sessionStorage.removeItem(key);
    } catch {
      // nothing was stored either
    }
  },
};
