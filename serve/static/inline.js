// Inline Markdown: code, bold, italic, deleted text, http(s) links, formulas. Everything else is text.
//
// Nodes are created by createElement and strings only, and no attribute comes from the text except a link's checked
// address. The time is proportional to the length of the text.

export const MAX_DEPTH = 6; // of nested emphasis
const MAX_ADDRESS_LENGTH = 2000;
const MAX_FORMULA_LENGTH = 1000;

const DELIMITERS = [["$$", "$$"], ["$", "$"], ["\\(", "\\)"], ["\\[", "\\]"]];
const WORD = /[\p{L}\p{N}_]/u;
const BREAK = /<br *\/?>/iy;

/** Return the nodes and strings of inline text. */
export function inline(text, depth = MAX_DEPTH, linked = false) {
  const nodes = [];
  const unclosed = new Set(); // marks without a closing mark in the rest of the text
  let plain = "";
  const add = (node, next) => {
    if (plain) nodes.push(plain);
    plain = "";
    nodes.push(node);
    return next;
  };
  for (let index = 0; index < text.length; ) {
    index =
      formula(text, index, add) ??
      escaped(text, index, (character, next) => ((plain += character), next)) ??
      lineBreak(text, index, (next) => ((plain += "\n"), next)) ??
      code(text, index, unclosed, add) ??
      (linked ? null : link(text, index, depth, plain, add)) ??
      (depth ? emphasis(text, index, unclosed, depth, linked, add) : null) ??
      ((plain += text[index]), index + 1);
  }
  return plain ? [...nodes, plain] : nodes;
}

/** Parse a TeX formula: `$x$`, `$$x$$`, `\\(x\\)` or `\\[x\\]`. Its source is shown, without delimiters. */
function formula(text, index, add) {
  const delimiters = DELIMITERS.find(([mark]) => text.startsWith(mark, index));
  if (!delimiters) return null;
  const [mark, closing] = delimiters;
  const start = index + mark.length;
  const ahead = text.slice(start, start + MAX_FORMULA_LENGTH);
  let close = ahead.indexOf(closing);
  while (close > 0 && ahead[close - 1] === "\\") close = ahead.indexOf(closing, close + 1);
  const source = ahead.slice(0, close);
  if (close < 1 || !isFormula(source)) return null;
  if (mark === "$" && (source !== source.trim() || /\d/.test(ahead[close + 1] ?? ""))) return null; // a price
  return add(formulaNode(source), start + close + closing.length);
}

/** Return a node with the source of a formula. */
export function formulaNode(source) {
  const node = element("span", [source.trim()]);
  node.className = "formula";
  return node;
}

/** True unless a text between delimiters consists of plain words. */
export function isFormula(source) {
  return !/\s/.test(source) || /[\\^_={}+<>|]/.test(source);
}

function lineBreak(text, index, add) {
  BREAK.lastIndex = index;
  return text[index] === "<" && BREAK.test(text) ? add(BREAK.lastIndex) : null;
}

function escaped(text, index, add) {
  return text[index] === "\\" && /[\\`*_[\]()#+.!~>|${}-]/.test(text[index + 1] ?? "") ? add(text[index + 1], index + 2) : null;
}

function code(text, index, unclosed, add) {
  if (text[index] !== "`") return null;
  let end = index;
  while (text[end] === "`") end++;
  const mark = text.slice(index, end);
  if (!unclosed.has(mark)) {
    for (let close = text.indexOf(mark, end); close >= 0; close = text.indexOf(mark, close)) {
      let after = close;
      while (text[after] === "`") after++;
      if (after - close === mark.length) {
        return add(element("code", [withoutPadding(text.slice(end, close))]), after);
      }
      close = after;
    }
    unclosed.add(mark);
  }
  return add(mark, end);
}

/** Remove the spaces that separate the text of a code span from backticks. */
function withoutPadding(text) {
  return text.startsWith(" ") && text.endsWith(" ") && text.trim() ? text.slice(1, -1) : text;
}

const NAMED =
  /\[([^[\]\n]{1,500})\]\(<?(https?:\/\/(?:[^\s<>()]|\([^\s<>()]{0,500}\)){1,2000})>?(?:[ \t]{1,9}"[^"\n]{0,300}")?\)/iy;
const BARE = /https?:\/\/[^\s<>"'`*\\^{|}[\]]{1,2000}/iy;

function link(text, index, depth, before, add) {
  if (text[index] === "[" || text.startsWith("![", index)) {
    NAMED.lastIndex = text.indexOf("[", index); // images are not loaded: they become links
    const found = NAMED.exec(text);
    const address = found && checkedAddress(found[2]);
    return address ? add(anchor(address, inline(found[1], depth && depth - 1, true)), NAMED.lastIndex) : null;
  }
  if (!/[hH]/.test(text[index]) || WORD.test(before.at(-1) ?? "")) return null;
  BARE.lastIndex = index;
  const found = BARE.exec(text)?.[0].replace(/[.,:;!?)]+$/, "");
  const address = found && checkedAddress(found);
  return address ? add(anchor(address, [found]), index + found.length) : null;
}

/** Return the address if its protocol is http or https, according to the browser's own parser; else null. */
function checkedAddress(address) {
  if (address.length > MAX_ADDRESS_LENGTH || !URL.canParse(address)) return null;
  const { protocol, href } = new URL(address);
  return protocol === "https:" || protocol === "http:" ? href : null;
}

function anchor(address, nodes) {
  const node = element("a", nodes);
  node.href = address;
  node.title = address;
  node.target = "_blank";
  node.rel = "noopener noreferrer nofollow";
  return node;
}

/** Parse bold, italic and ~~deleted~~: the mark adjoins its text; underscores also adjoin a word boundary. */
function emphasis(text, index, unclosed, depth, linked, add) {
  const character = text[index];
  if (character !== "*" && character !== "_" && character !== "~") return null;
  let run = index;
  while (text[run] === character) run++;
  const opens = /\S/.test(text[run] ?? "") && !(character === "_" && WORD.test(text[index - 1] ?? ""));
  const size = Math.min(run - index, 3);
  const mark = character.repeat(size);
  if (opens && run - index <= 3 && (character !== "~" || run - index === 2) && !unclosed.has(mark)) {
    const close = findClosing(text, run, mark);
    if (close > 0) {
      const nodes = inline(text.slice(run, close), depth - 1, linked);
      const inner = size === 3 ? [element("em", nodes)] : nodes;
      return add(element(character === "~" ? "del" : size === 1 ? "em" : "strong", inner), close + size);
    }
    unclosed.add(mark);
  }
  return add(text.slice(index, run), run);
}

/** Return the index of the closing mark at or after `index`; -1 if there is none. */
function findClosing(text, index, mark) {
  for (let close = text.indexOf(mark, index); close >= 0; ) {
    let after = close;
    while (text[after] === mark[0]) after++;
    const length = after - close;
    const adjoins = /\S/.test(text[close - 1] ?? "");
    const boundary = mark[0] === "*" || !WORD.test(text[after] ?? "");
    if (adjoins && boundary && (length === mark.length || (length > mark.length && length === 3))) return after - mark.length;
    close = text.indexOf(mark, after);
  }
  return -1;
}

export function element(name, children) {
  const node = document.createElement(name);
  node.append(...children); // strings become text nodes
  return node;
}
