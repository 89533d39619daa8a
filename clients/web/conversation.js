// The lines of one channel, in the order of their seq, each once; and this player's own that are not safe yet.

const LINE_LIMIT = 600; // lines held; beyond, the oldest go, and "load earlier" brings them back

export class Conversation {
  constructor(channel) {
    this.channel = channel;
    this.waiting = new Map(); // op to {op, text, at, seq?, error?}
    this.unread = 0;
    this.joining = false; // whether a join is on its way
    this.clear();
  }

  /** Forget the lines, not what waits: the history is loaded afresh. */
  clear() {
    this.lines = [];
    this.joined = false;
    this.members = 0;
    this.more = false;
    this.before = null;
  }

  /** The reply to a join: the newest lines. */
  open({ recent, members }) {
    this.joined = true;
    this.joining = false;
    this.members = members;
    for (const line of recent) this.take(line);
    this.#dropShown();
    const first = this.lines[0]?.seq;
    this.before ??= first ?? null;
    this.more ||= first > 1;
  }

  /** A page of history. */
  prepend({ messages, more, next_seq: next }) {
    for (const line of messages) this.take(line);
    this.more = more;
    this.before = next ?? this.lines[0]?.seq ?? null;
  }

  /** Put a line in its place. Returns whether it was new. One that staff has removed has no place. */
  take(line) {
    this.waiting.delete(line.op);
    if (line.deleted) return false;
    let at = this.lines.length;
    while (at > 0 && this.lines[at - 1].seq > line.seq) at -= 1;
    if (at > 0 && this.lines[at - 1].seq === line.seq) return false;
    this.lines.splice(at, 0, line);
    return true;
  }

  /** Staff has removed a line. */
  remove(seq) {
    this.lines = this.lines.filter((line) => line.seq !== seq);
  }

  /** This player's own line is safe as `seq`; it waits on until it is shown at its place. */
  sent(op, seq) {
    const line = this.waiting.get(op);
    if (line) line.seq = seq;
    this.#dropShown();
  }

  /** After a reload an own line may be known to be safe and stand in the part of the history that is not loaded. */
  #dropShown() {
    const newest = this.lines.at(-1)?.seq ?? 0;
    for (const [op, { seq }] of this.waiting) if (this.joined && seq <= newest) this.waiting.delete(op);
  }

  /** Drop the oldest lines above the limit. */
  trim() {
    if (this.lines.length <= LINE_LIMIT) return;
    this.lines.splice(0, this.lines.length - LINE_LIMIT);
    this.before = this.lines[0].seq;
    this.more = true;
  }
}
