// Elements of a page, made and found. Text is always put in as text, never as HTML.

export const $ = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Make `wanted` the children of `parent`, touching only what differs. */
export function arrange(parent, wanted) {
  const keep = new Set(wanted);
  for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const element of wanted) {
    if (element === at) at = at.nextElementSibling;
    else parent.insertBefore(element, at);
  }
}

/** Two letters on a colour that is the player's own. */
export function avatar(id, name) {
  const initials = [...(name || id)].slice(0, 2).join("").toUpperCase();
  const element = make("span", { className: "avatar", textContent: initials });
  element.setAttribute("aria-hidden", "true");
  let hue = 0;
  for (const char of id) hue = (hue * 31 + char.codePointAt(0)) % 360;
  element.style.setProperty("--hue", hue);
  return element;
}

/** A point in time, in milliseconds, as short as its distance allows. */
export function timeElement(at) {
  const time = new Date(at);
  const today = time.toDateString() === new Date().toDateString();
  const form = { hour: "2-digit", minute: "2-digit", ...(!today && { day: "numeric", month: "short" }) };
  return make("time", { dateTime: time.toISOString(), textContent: time.toLocaleString([], form) });
}

/** Show `count` on a tab; a screen reader hears `what` it counts. */
export function drawBadge(badge, count, what) {
  badge.replaceChildren();
  if (count) badge.append(`${count > 99 ? "99+" : count}`, make("span", { className: "unseen", textContent: ` ${what}` }));
}
