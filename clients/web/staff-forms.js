// What staff asks for by a form or a button: said in words where it does not work, and confirmed where it hurts.

import { $ } from "./elements.js";
import { Problem } from "./staff-api.js";
import { problemWords } from "./staff-words.js";

/** Run `action`, with `place` saying why it did not work. Returns whether it did. */
export async function attempt(place, action, button = null) {
  place.textContent = "";
  if (button) button.disabled = true;
  try {
    await action();
    return true;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    place.textContent = problemWords(error);
    return false;
  } finally {
    if (button) free(button);
  }
}

/**
 * Have `form` do `action` when it is sent. Its `.problem` says why it did not work, its `.done` what `action` returns.
 * What `action` returns nothing for was called off.
 */
export function submitted(form, action) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const done = form.querySelector(".done");
    if (done) done.textContent = "";
    attempt(form.querySelector(".problem"), async () => {
      const words = await action(form);
      if (done && words) done.textContent = words;
    }, event.submitter);
  });
}

/** Whether the person says yes. */
export function confirmed({ title, text, yes }) {
  const dialog = $("confirm");
  $("confirm-title").textContent = title;
  $("confirm-text").textContent = text;
  $("confirm-yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

$("confirm-no").addEventListener("click", () => $("confirm").close());
$("confirm-yes").addEventListener("click", () => $("confirm").close("yes"));

/** Milliseconds of a `datetime-local` field, in the person's time zone; undefined where it is empty. */
export function timeOf(input) {
  return input.value ? new Date(input.value).getTime() : undefined;
}

/** The words of a field, split at commas and spaces; undefined where there are none. */
export function wordsOf(input) {
  const words = input.value.split(/[\s,]+/).filter(Boolean);
  return words.length ? words : undefined;
}

/** A button that is disabled loses the focus; whoever uses a keyboard wants it back. */
function free(button) {
  button.disabled = false;
  const focused = document.activeElement;
  if (focused === document.body || !focused.checkVisibility()) button.focus();
}
