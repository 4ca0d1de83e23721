/** Find a page's elements by their ids, and change them only where something differs. */

/** Every element with an id, by its id in camelCase. */
export function elements() {
  const camel = (id) => id.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
  const found = document.querySelectorAll("[id]");
  return Object.fromEntries([...found].map((element) => [camel(element.id), element]));
}

/** Change a text only where it differs: a screen reader reads every change. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** An element with a class, and a text or children. */
export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}
