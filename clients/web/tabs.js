// The tabs: channels on the left, panels on the right. A narrow screen has room for one of all.

import { $ } from "./elements.js";

const narrow = matchMedia("(max-width: 47rem)"); // as in hall.css

export class Tabs {
  #hall = $("hall");
  #channel = "";

  /** `openChannel` hears the name of the channel's tab that was chosen. */
  constructor(openChannel) {
    for (const tab of this.#all("channel")) {
      tab.addEventListener("click", () => {
        this.#hall.dataset.view = "chat";
        openChannel(tab.dataset.channel);
      });
    }
    for (const tab of this.#all("panel")) tab.addEventListener("click", () => this.openPanel(tab.dataset.panel));
    narrow.addEventListener("change", () => this.#draw());
    this.#draw();
  }

  /** Whether the chat may be seen: a phone hides it behind a panel. */
  get showsChat() {
    return !narrow.matches || this.#hall.dataset.view === "chat";
  }

  /** The chat shows the channel of this tab now. A panel that lies over it stays. */
  set channel(channel) {
    this.#channel = channel;
    this.#draw();
  }

  openPanel(panel) {
    this.#hall.dataset.view = "panel";
    this.#hall.dataset.panel = panel;
    this.#draw();
  }

  #all(kind) {
    return document.querySelectorAll(`nav [data-${kind}]`);
  }

  #draw() {
    const { panel, view } = this.#hall.dataset;
    for (const tab of this.#all("channel")) mark(tab, tab.dataset.channel === this.#channel && this.showsChat);
    for (const tab of this.#all("panel")) {
      const chosen = tab.dataset.panel === panel;
      $(tab.dataset.panel).hidden = !chosen;
      mark(tab, chosen && (view === "panel" || !narrow.matches));
    }
  }
}

function mark(tab, current) {
  tab.setAttribute("aria-current", String(current));
}
