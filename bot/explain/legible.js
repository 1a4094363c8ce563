"use strict";
/**
 * The text with the bytes of what no font here has a glyph for: such characters all look like one that has none
 * anywhere. Each is looked at once.
 */
const legible = (() => {
  const SUSPECT = /[^\u0000-\u02ff\p{C}\p{Z}]|[\u{1f000}-\u{1faff}]/gu, NOWHERE = "\u{FFFFE}";
  const pen = Object.assign(document.createElement("canvas"), { width: 48, height: 48 }).getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const look = (text) => {
    pen.clearRect(0, 0, 48, 48);
    pen.fillText(text, 8, 34);
    return pen.getImageData(0, 0, 48, 48).data.join();
  };
  /** A combining mark is looked at on a letter. */
  function isBox(char) {
    const before = /\p{M}/u.test(char) ? "a" : "";
    return pen.measureText(before + char).width === pen.measureText(before + NOWHERE).width
      && look(before + char) === look(before + NOWHERE);
  }
  const escaped = (char) => [...new TextEncoder().encode(char)].map((byte) => "\\x" + byte.toString(16)).join("");
  function shown(char) {
    if (!known.has(char)) {
      pen.font = "24px " + getComputedStyle(document.body).fontFamily;
      known.set(char, isBox(char) ? escaped(char) : char);
    }
    return known.get(char);
  }
  return (text) => text.replace(SUSPECT, shown);
})();
