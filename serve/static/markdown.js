// A small Markdown: paragraphs, headings, lists, code, bold, italic, http(s) links. Everything else is text.
//
// What a model writes may be hostile. Nodes are made by createElement and createTextNode alone, no attribute but a
// link's checked address comes from the text, and no input costs more than time in proportion to its length.

const DEEPEST = 6; // levels of lists, or of marks inside marks
const LONGEST_ADDRESS = 2000;

const FENCE = /^([ \t]*)(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*)$/;
const ITEM = /^([ \t]*)([-*+]|\d{1,9}[.)])[ \t]+(?=\S)/;
const WORD = /[\p{L}\p{N}_]/u;

/** Show `text` in `parent`. Blocks that are as they were in the last call keep their nodes. */
export function render(parent, text) {
  const blocks = split(text);
  const old = [...parent.children];
  blocks.forEach((block, place) => {
    const source = `${block.kind} ${block.language} ${block.lines.join("\n")}`;
    if (old[place]?.markdown === source) return;
    const node = MAKERS[block.kind](block);
    node.markdown = source;
    if (old[place]) old[place].replaceWith(node);
    else parent.append(node);
  });
  old.slice(blocks.length).forEach((node) => node.remove());
}

/** The blocks of a text: `{kind, lines}`. */
function split(text) {
  const blocks = [];
  let open = null; // the block that the next line may go on
  let blank = false; // whether the line before was empty
  for (const line of text.replace(/\r\n?/g, "\n").split("\n")) {
    if (open?.kind === "code") {
      if (closes(line, open.fence)) open = null;
      else open.lines.push(unindented(line, open.indent));
    } else if (!line.trim()) {
      blank = true;
      if (open?.kind !== "list") open = null;
    } else if (open && goesOn(open, line, blank)) {
      open.lines.push(...(blank ? ["", line] : [line]));
      blank = false;
    } else {
      open = begin(line);
      blocks.push(open);
      blank = false;
    }
  }
  return blocks;
}

function kindOf(line) {
  return FENCE.test(line) ? "code" : HEADING.test(line) ? "heading" : ITEM.test(line) ? "list" : "paragraph";
}

function begin(line) {
  const kind = kindOf(line);
  if (kind !== "code") return { kind, lines: [line] };
  const [, indent, fence, label] = FENCE.exec(line);
  return { kind, lines: [], fence, indent: indent.length, language: label.trim().split(/\s/)[0] };
}

function goesOn(open, line, blank) {
  const kind = kindOf(line);
  if (open.kind === "paragraph") return kind === "paragraph";
  if (open.kind !== "list") return false;
  if (kind === "paragraph") return !blank || /^\s/.test(line);
  return kind === "list" && (isOrdered(line) === isOrdered(open.lines[0]) || indentOf(line) > indentOf(open.lines[0]));
}

function closes(line, fence) {
  const mark = line.trim();
  return mark.length >= fence.length && mark === fence[0].repeat(mark.length);
}

function unindented(line, spaces) {
  let cut = 0;
  while (cut < spaces && (line[cut] === " " || line[cut] === "\t")) cut++;
  return line.slice(cut);
}

const MAKERS = {
  paragraph: ({ lines }) => element("p", inline(lines.map((line) => line.trim()).join("\n"))),
  heading: ({ lines }) => {
    const [, marks, words] = HEADING.exec(lines[0]);
    return element(`h${Math.min(marks.length + 2, 6)}`, inline(withoutClosing(words.trim()))); // h1, h2: the page's
  },
  code: ({ lines, language }) => {
    const node = element("pre", [element("code", [lines.join("\n")])]);
    node.tabIndex = 0; // it scrolls sideways, also by keyboard
    const copy = element("button", ["Copy"]);
    copy.type = "button";
    copy.className = "copy-code";
    return element("figure", [element("figcaption", [element("span", [language.slice(0, 30)]), copy]), node]);
  },
  list: ({ lines }) => list(lines, DEEPEST),
};

/** A heading without the number signs that may close it. */
function withoutClosing(words) {
  let end = words.length;
  while (words[end - 1] === "#") end--;
  return end === 0 || /\s/.test(words[end - 1]) ? words.slice(0, end).trim() : words;
}

/** A list whose items may hold further lines and, by indentation, further lists. */
function list(lines, depth) {
  const least = indentOf(lines[0]);
  const node = document.createElement(isOrdered(lines[0]) ? "ol" : "ul");
  if (node.tagName === "OL") node.start = parseInt(lines[0]);
  const items = [];
  for (const line of lines) {
    const item = ITEM.exec(line);
    const last = items.at(-1);
    if (item && (!last || indentOf(line) < least + 2)) items.push({ text: [line.slice(item[0].length)], inner: [] });
    else if (depth > 1 && (item || last.inner.length)) last.inner.push(line);
    else last.text.push(line.trim());
  }
  for (const { text, inner } of items) {
    const entry = element("li", inline(text.join("\n").trim()));
    if (inner.length) entry.append(list(inner, depth - 1));
    node.append(entry);
  }
  return node;
}

function indentOf(line) {
  return /^[ \t]*/.exec(line)[0].replace(/\t/g, "    ").length;
}

function isOrdered(line) {
  return /^[ \t]*\d/.test(line);
}

/** The nodes of text with marks inside a block. */
function inline(text, depth = DEEPEST, linked = false) {
  const nodes = [];
  const absent = new Set(); // marks that are known not to be closed any more
  let plain = "";
  const add = (node, next) => {
    if (plain) nodes.push(plain);
    plain = "";
    nodes.push(node);
    return next;
  };
  for (let place = 0; place < text.length; ) {
    place =
      escaped(text, place, (sign, next) => ((plain += sign), next)) ??
      code(text, place, absent, add) ??
      (linked ? null : link(text, place, depth, plain, add)) ??
      (depth ? emphasis(text, place, absent, depth, linked, add) : null) ??
      ((plain += text[place]), place + 1);
  }
  return plain ? [...nodes, plain] : nodes;
}

function escaped(text, place, add) {
  return text[place] === "\\" && /[\\`*_[\]()#+.!~>-]/.test(text[place + 1] ?? "") ? add(text[place + 1], place + 2) : null;
}

function code(text, place, absent, add) {
  if (text[place] !== "`") return null;
  let end = place;
  while (text[end] === "`") end++;
  const mark = text.slice(place, end);
  if (!absent.has(mark)) {
    for (let close = text.indexOf(mark, end); close >= 0; close = text.indexOf(mark, close)) {
      let after = close;
      while (text[after] === "`") after++;
      if (after - close === mark.length) {
        return add(element("code", [withoutPadding(text.slice(end, close))]), after);
      }
      close = after;
    }
    absent.add(mark);
  }
  return add(mark, end);
}

/** A code span without the spaces that keep its text apart from backticks. */
function withoutPadding(text) {
  return text.startsWith(" ") && text.endsWith(" ") && text.trim() ? text.slice(1, -1) : text;
}

const NAMED =
  /\[([^[\]\n]{1,500})\]\(<?(https?:\/\/(?:[^\s<>()]|\([^\s<>()]{0,500}\)){1,2000})>?(?:[ \t]{1,9}"[^"\n]{0,300}")?\)/iy;
const BARE = /https?:\/\/[^\s<>"'`*\\^{|}[\]]{1,2000}/iy;

function link(text, place, depth, before, add) {
  if (text[place] === "[") {
    NAMED.lastIndex = place;
    const found = NAMED.exec(text);
    const address = found && checked(found[2]);
    return address ? add(anchor(address, inline(found[1], depth && depth - 1, true)), NAMED.lastIndex) : null;
  }
  if (!/[hH]/.test(text[place]) || WORD.test(before.at(-1) ?? "")) return null;
  BARE.lastIndex = place;
  const found = BARE.exec(text)?.[0].replace(/[.,:;!?)]+$/, "");
  const address = found && checked(found);
  return address ? add(anchor(address, [found]), place + found.length) : null;
}

/** The address, if it is one of http or https; by the browser's own parser, which will follow it. */
function checked(address) {
  if (address.length > LONGEST_ADDRESS || !URL.canParse(address)) return null;
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

/** Bold and italic: a mark that touches its text, and for underscores stands at the border of a word. */
function emphasis(text, place, absent, depth, linked, add) {
  const sign = text[place];
  if (sign !== "*" && sign !== "_") return null;
  let run = place;
  while (text[run] === sign) run++;
  const opens = /\S/.test(text[run] ?? "") && !(sign === "_" && WORD.test(text[place - 1] ?? ""));
  const size = Math.min(run - place, 3);
  const mark = sign.repeat(size);
  if (opens && run - place <= 3 && !absent.has(mark)) {
    const close = closing(text, run, mark);
    if (close > 0) {
      const nodes = inline(text.slice(run, close), depth - 1, linked);
      const inner = size === 3 ? [element("em", nodes)] : nodes;
      return add(element(size === 1 ? "em" : "strong", inner), close + size);
    }
    absent.add(mark);
  }
  return add(text.slice(place, run), run);
}

/** Where a mark of emphasis is closed at or after `place`; -1 if nowhere. */
function closing(text, place, mark) {
  for (let close = text.indexOf(mark, place); close >= 0; ) {
    let after = close;
    while (text[after] === mark[0]) after++;
    const length = after - close;
    const touches = /\S/.test(text[close - 1] ?? "");
    const border = mark[0] === "*" || !WORD.test(text[after] ?? "");
    if (touches && border && (length === mark.length || (length > mark.length && length === 3))) return after - mark.length;
    close = text.indexOf(mark, after);
  }
  return -1;
}

function element(name, children) {
  const node = document.createElement(name);
  node.append(...children); // strings become text nodes
  return node;
}
