// A subset of Markdown: paragraphs, headings, lists, code, bold, italic, http(s) links. Everything else is text.
//
// A model's output is untrusted. Nodes are created by createElement and createTextNode only, no attribute comes from
// the text except a link's checked address, and the time is proportional to the length of the text.

const MAX_DEPTH = 6; // of nested lists and of nested emphasis
const MAX_ADDRESS_LENGTH = 2000;

const FENCE = /^([ \t]*)(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*)$/;
const ITEM = /^([ \t]*)([-*+]|\d{1,9}[.)])[ \t]+(?=\S)/;
const WORD = /[\p{L}\p{N}_]/u;

/** Render `text` into `parent`. Blocks that did not change since the last call keep their nodes. */
export function render(parent, text) {
  const blocks = split(text);
  const old = [...parent.children];
  blocks.forEach((block, index) => {
    const source = `${block.kind} ${block.language} ${block.lines.join("\n")}`;
    if (old[index]?.markdown === source) return;
    const node = MAKERS[block.kind](block);
    node.markdown = source;
    if (old[index]) old[index].replaceWith(node);
    else parent.append(node);
  });
  old.slice(blocks.length).forEach((node) => node.remove());
}

/** Split a text into blocks: `{kind, lines}`. */
function split(text) {
  const blocks = [];
  let open = null; // the block that the next line may continue
  let blank = false; // true if the previous line was empty
  for (const line of text.replace(/\r\n?/g, "\n").split("\n")) {
    if (open?.kind === "code") {
      if (closes(line, open.fence)) open = null;
      else open.lines.push(unindented(line, open.indent));
    } else if (!line.trim()) {
      blank = true;
      if (open?.kind !== "list") open = null;
    } else if (open && continues(open, line, blank)) {
      open.lines.push(...(blank ? ["", line] : [line]));
      blank = false;
    } else {
      open = startBlock(line);
      blocks.push(open);
      blank = false;
    }
  }
  return blocks;
}

function kindOf(line) {
  return FENCE.test(line) ? "code" : HEADING.test(line) ? "heading" : ITEM.test(line) ? "list" : "paragraph";
}

function startBlock(line) {
  const kind = kindOf(line);
  if (kind !== "code") return { kind, lines: [line] };
  const [, indent, fence, label] = FENCE.exec(line);
  return { kind, lines: [], fence, indent: indent.length, language: label.trim().split(/\s/)[0] };
}

function continues(open, line, blank) {
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
    return element(`h${Math.min(marks.length + 2, 6)}`, inline(withoutClosingMarks(words.trim()))); // h1 and h2 belong to the page
  },
  code: ({ lines, language }) => {
    const node = element("pre", [element("code", [lines.join("\n")])]);
    node.tabIndex = 0; // makes horizontal scrolling possible by keyboard
    const copy = element("button", ["Copy"]);
    copy.type = "button";
    copy.className = "copy-code";
    return element("figure", [element("figcaption", [element("span", [language.slice(0, 30)]), copy]), node]);
  },
  list: ({ lines }) => list(lines, MAX_DEPTH),
};

/** Remove the closing number signs of a heading. */
function withoutClosingMarks(words) {
  let end = words.length;
  while (words[end - 1] === "#") end--;
  return end === 0 || /\s/.test(words[end - 1]) ? words.slice(0, end).trim() : words;
}

/** Return a list; items may have further lines and, by indentation, nested lists. */
function list(lines, depth) {
  const indent = indentOf(lines[0]);
  const node = document.createElement(isOrdered(lines[0]) ? "ol" : "ul");
  if (node.tagName === "OL") node.start = parseInt(lines[0]);
  const items = [];
  for (const line of lines) {
    const item = ITEM.exec(line);
    const last = items.at(-1);
    if (item && (!last || indentOf(line) < indent + 2)) items.push({ text: [line.slice(item[0].length)], inner: [] });
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

/** Return the nodes of inline text. */
function inline(text, depth = MAX_DEPTH, linked = false) {
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
      escaped(text, index, (character, next) => ((plain += character), next)) ??
      code(text, index, unclosed, add) ??
      (linked ? null : link(text, index, depth, plain, add)) ??
      (depth ? emphasis(text, index, unclosed, depth, linked, add) : null) ??
      ((plain += text[index]), index + 1);
  }
  return plain ? [...nodes, plain] : nodes;
}

function escaped(text, index, add) {
  return text[index] === "\\" && /[\\`*_[\]()#+.!~>-]/.test(text[index + 1] ?? "") ? add(text[index + 1], index + 2) : null;
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
  if (text[index] === "[") {
    NAMED.lastIndex = index;
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

/** Parse bold and italic: the mark adjoins its text; underscores also adjoin a word boundary. */
function emphasis(text, index, unclosed, depth, linked, add) {
  const character = text[index];
  if (character !== "*" && character !== "_") return null;
  let run = index;
  while (text[run] === character) run++;
  const opens = /\S/.test(text[run] ?? "") && !(character === "_" && WORD.test(text[index - 1] ?? ""));
  const size = Math.min(run - index, 3);
  const mark = character.repeat(size);
  if (opens && run - index <= 3 && !unclosed.has(mark)) {
    const close = findClosing(text, run, mark);
    if (close > 0) {
      const nodes = inline(text.slice(run, close), depth - 1, linked);
      const inner = size === 3 ? [element("em", nodes)] : nodes;
      return add(element(size === 1 ? "em" : "strong", inner), close + size);
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

function element(name, children) {
  const node = document.createElement(name);
  node.append(...children); // strings become text nodes
  return node;
}
