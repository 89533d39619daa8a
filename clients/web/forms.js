// What a person asks for by a form or a button, and where it is said that it did not work.

import { $ } from "./elements.js";
import { Refusal } from "./session.js";
import { errorWords } from "./words.js";

/** Run what a person has asked for, and say in `place` why it did not work. */
export async function attempt(place, action, button = null) {
  $(place).textContent = "";
  if (button) button.disabled = true;
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    $(place).textContent = errorWords(error);
  } finally {
    if (button) free(button);
  }
}

/** Have the form `id` do `action` with what stands in its one field, and empty the field when that is done. */
export function submitted(id, place, action) {
  $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    const input = event.target.querySelector("input");
    const value = input.value.trim();
    if (!value) return;
    attempt(place, async () => {
      await action(value);
      input.value = "";
    }, event.submitter);
  });
}

/** A button that is disabled loses the focus; whoever uses a keyboard wants it back. */
function free(button) {
  button.disabled = false;
  const focused = document.activeElement;
  if (focused === document.body || !focused.checkVisibility()) button.focus();
}
