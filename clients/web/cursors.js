// Where this page stands in each durable topic: order restored, doubles dropped, holes found.
// The twin of protocol/cursors.py; pure data, the session decides when to ask the server.

const FOLLOW_LIMIT = 256; // topics; as many as a hello may name
const HELD_LIMIT = 256; // events of one topic that wait for a hole; later ones are asked for again

/** One topic: everything up to `seq` has been handed on; `newest` is known to exist. */
export class Track {
  constructor(epoch, seq) {
    this.epoch = epoch;
    this.seq = seq;
    this.newest = seq;
    this.held = new Map();
    this.asked = null; // when the server was last asked to fill the hole, or last did fill some of it
  }

  get hasHole() {
    return this.newest > this.seq;
  }

  /** What can be handed on now that this event has come, in order; nothing for one that was seen before. */
  take(event, now) {
    this.newest = Math.max(this.newest, event.seq);
    if (event.seq <= this.seq) return [];
    if (event.seq > this.seq + 1) {
      if (this.held.size < HELD_LIMIT) this.held.set(event.seq, event);
      return [];
    }
    this.seq = event.seq;
    return [event, ...this.settle(now)];
  }

  /** Everything up to `seq` is known in another way, e.g. from the reply to a join. */
  move(seq) {
    this.seq = Math.max(this.seq, seq);
    this.newest = Math.max(this.newest, seq);
    for (const held of [...this.held.keys()]) if (held <= this.seq) this.held.delete(held);
  }

  /** What waited and now follows without a hole. */
  settle(now) {
    const ready = [];
    for (let next; (next = this.held.get(this.seq + 1)); ) {
      this.held.delete(++this.seq);
      ready.push(next);
    }
    if (this.asked !== null) this.asked = this.hasHole ? now : null;
    return ready;
  }
}

/** The topics that this page follows. */
export class Cursors {
  #tracks = new Map();

  find(topic) {
    return this.#tracks.get(topic);
  }

  /** What the page knows of `topic` is as of [epoch, seq]; returns the events that waited for it. */
  follow(topic, epoch, seq, now) {
    let track = this.#tracks.get(topic);
    if (!track && this.#tracks.size >= FOLLOW_LIMIT) return [];
    if (!track || track.epoch !== epoch) this.#tracks.set(topic, (track = new Track(epoch, seq)));
    track.move(seq);
    return track.settle(now);
  }

  unfollow(topic) {
    this.#tracks.delete(topic);
  }

  holes() {
    return [...this.#tracks].filter(([, track]) => track.hasHole);
  }

  forHello() {
    return Object.fromEntries([...this.#tracks].map(([topic, track]) => [topic, [track.epoch, track.seq]]));
  }

  /** What waited for a hole comes again after the resume, or not at all. */
  disconnected() {
    for (const track of this.#tracks.values()) {
      track.held.clear();
      track.newest = track.seq;
      track.asked = null;
    }
  }

  /** Take every topic's standing from a welcome; one that was followed and is not named is gone. */
  welcomed(topics, now) {
    const moved = Object.entries(topics).map(([topic, standing]) => this.stands(topic, standing, now));
    for (const topic of [...this.#tracks.keys()].filter((each) => !(each in topics))) {
      this.#tracks.delete(topic);
      moved.push({ topic, status: "gone" });
    }
    return moved;
  }

  /** Take one topic's standing; what a resumed one has missed follows by itself. */
  stands(topic, { status = "gone", epoch = "", seq = 0 }, now) {
    const track = this.#tracks.get(topic);
    if (status === "gone") {
      this.unfollow(topic);
    } else if (track && track.epoch === epoch && status === "resumed") {
      track.newest = Math.max(track.newest, seq);
      track.asked = track.hasHole ? now : null;
    } else {
      if (track || this.#tracks.size < FOLLOW_LIMIT) this.#tracks.set(topic, new Track(epoch, seq));
      status = "reset";
    }
    return { topic, status };
  }
}
