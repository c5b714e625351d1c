// A text field that suggests items: arrow keys choose, Enter takes, Escape closes.

/**
 * @param {HTMLInputElement} input with role="combobox"
 * @param {HTMLUListElement} list with role="listbox"
 * @param {(text: string) => Promise<string[]>} search
 * @param {(item: string) => void} take called with the chosen suggestion
 */
export function suggest(input, list, search, take) {
  let chosen = -1;
  let searches = 0;
  let pending = null; // the search in progress
  let moving = null; // the arrow key that waits for it

  function choose(index) {
    chosen = index;
    [...list.children].forEach((option, i) => option.setAttribute("aria-selected", i === chosen));
    const option = list.children[chosen];
    option?.scrollIntoView({ block: "nearest" });
    if (option) input.setAttribute("aria-activedescendant", option.id);
    else input.removeAttribute("aria-activedescendant");
  }

  function close() {
    searches += 1; // discards the result of a search in progress
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    choose(-1);
  }

  function open() {
    const started = update().finally(() => {
      if (pending === started) pending = null;
    });
    pending = started;
    return started;
  }

  async function update() {
    const current = (searches += 1);
    const items = await search(input.value.trim()).catch(() => []);
    if (current !== searches) return;
    list.replaceChildren(
      ...items.map((item, index) => {
        const option = document.createElement("li");
        option.id = `suggestion-${index}`;
        option.setAttribute("role", "option");
        option.textContent = item;
        return option;
      }),
    );
    choose(-1);
    list.hidden = items.length === 0;
    input.setAttribute("aria-expanded", String(!list.hidden));
  }

  function accept(item) {
    close();
    take(item);
  }

  input.addEventListener("input", open);
  input.addEventListener("click", open);
  input.addEventListener("blur", close);
  async function move(step) {
    if (list.hidden && !pending) return open();
    await pending; // so that the choice is among the items for the present text
    const count = list.children.length;
    if (!list.hidden) choose(chosen < 0 && step < 0 ? count - 1 : (chosen + step + count) % count);
  }

  input.addEventListener("keydown", async (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const own = move(event.key === "ArrowDown" ? 1 : -1);
      moving = own;
      await own;
      if (moving === own) moving = null;
    } else if (event.key === "Enter" && (moving || (!list.hidden && chosen >= 0))) {
      event.preventDefault();
      await moving;
      if (!list.hidden && chosen >= 0) accept(list.children[chosen].textContent);
      else input.form.requestSubmit();
    } else if (event.key === "Escape") {
      close();
    }
  });
  // Before the field loses the focus, which closes the list.
  list.addEventListener("mousedown", (event) => {
    event.preventDefault();
    const option = event.target.closest("li");
    if (option) accept(option.textContent);
  });
  return close;
}
