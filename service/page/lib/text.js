/** Texts, without anything of the page, so that a worker may import them. */

/** Return `text` cut to `max` characters. */
export const cut = (text, max) => (text.length > max ? `${text.slice(0, max - 1)}…` : text);
/** Return an object's own member, or undefined: names of users may be `constructor` or `__proto__`. */
export const own = (object, key) => (object && Object.hasOwn(object, key) ? object[key] : undefined);
