// The player's inbox: notices in the order of their seq, each once, and how many are left to be read. Pure data; the
// topic is `player:ID` (actors/mail.py), whose seqs have holes, so that no difference of them counts notices.

export class Inbox {
  notices = []; // oldest first
  unread = 0;
  read = 0; // everything up to this seq has been read
  more = false; // whether the server has older ones
  #asOf = 0; // the seq up to which `unread` counts

  /** What the welcome says, as of `seq` of the topic: events up to there come again, and are counted already. */
  welcomed({ unread, read }, seq) {
    this.unread = unread;
    this.read = read;
    this.#asOf = seq;
  }

  clear() {
    this.notices = [];
    this.more = false;
  }

  /** The notices of a page, the newest or older than those that are here. */
  page({ notices, more }) {
    for (const notice of notices) this.#put(notice);
    this.more = more;
  }

  /** A notice has arrived. */
  take(notice, now) {
    if (ended(notice, now)) return;
    if (notice.seq > this.#asOf && notice.seq > this.read) this.unread += 1;
    this.#asOf = Math.max(this.#asOf, notice.seq);
    this.#put(notice);
  }

  /** Everything up to `upto` has been read, here or on another device. */
  seen({ seq, upto, unread }) {
    if (seq <= this.#asOf) return;
    this.#asOf = seq;
    this.read = Math.max(this.read, upto);
    this.unread = unread;
  }

  isUnread({ seq }) {
    return seq > this.read;
  }

  /** Drop what has expired. Returns when the next one will, or Infinity. */
  expire(now) {
    const over = this.notices.filter((notice) => ended(notice, now));
    this.unread = Math.max(0, this.unread - over.filter((notice) => this.isUnread(notice)).length);
    if (over.length) this.notices = this.notices.filter((notice) => !over.includes(notice));
    return Math.min(Infinity, ...this.notices.map(({ expires_at: end }) => end ?? Infinity));
  }

  #put(notice) {
    let at = this.notices.length;
    while (at > 0 && this.notices[at - 1].seq > notice.seq) at -= 1;
    if (at === 0 || this.notices[at - 1].seq !== notice.seq) this.notices.splice(at, 0, notice);
  }
}

function ended({ expires_at: end }, now) {
  return typeof end === "number" && end <= now;
}
