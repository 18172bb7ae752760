// A subset of Markdown: paragraphs, headings, lists, tables, quotes, rules, code and formulas. Everything else is text.
//
// A model's output is untrusted: see inline.js, which makes the text of all blocks but code. The time is proportional
// to the length of the text.

import { element, formulaNode, inline, isFormula, MAX_DEPTH } from "./inline.js";

const MAX_COLUMNS = 50; // of a table: short rows are filled up with empty cells
const MAX_FORMULA_LINES = 50;

const FENCE = /^([ \t]*)(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*)$/;
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^([ \t]*)([-*+]|\d{1,9}[.)])[ \t]+(?=\S)/;
const CHECKBOXES = { "[ ] ": "☐ ", "[x] ": "☑ ", "[X] ": "☑ " };
const FORMULA_ENDS = { $$: "$$", "\\[": "\\]" };

/** Render `text` into `parent`. Blocks that did not change since the last call keep their nodes. */
export function render(parent, text) {
  const blocks = split(text.replace(/\r\n?/g, "\n").split("\n"));
  const old = [...parent.children];
  blocks.forEach((block, index) => {
    const source = `${block.kind} ${block.language} ${block.lines.join("\n")}`;
    if (old[index]?.markdown === source) return;
    const node = MAKERS[block.kind](block, MAX_DEPTH);
    node.markdown = source;
    if (old[index]) old[index].replaceWith(node);
    else parent.append(node);
  });
  old.slice(blocks.length).forEach((node) => node.remove());
}

/** Split lines into blocks: `{kind, lines}`. */
function split(lines) {
  const blocks = [];
  let open = null; // the block that the next line may continue
  let blank = false; // true if the previous line was empty
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index];
    if (open?.fence) {
      const closed = closes(line, open.fence);
      if (!closed || open.kind === "list") open.lines.push(open.kind === "code" ? unindented(line, open.indent) : line);
      if (closed) open = open.kind === "code" ? null : Object.assign(open, { fence: "" });
    } else if (!line.trim()) {
      blank = true;
      if (open?.kind !== "list") open = null;
    } else if (open && continues(open, lines, index, blank)) {
      if (open.kind === "list") open.fence = FENCE.exec(line)?.[2] ?? "";
      open.lines.push(...(blank ? ["", line] : [line]));
      blank = false;
    } else if (open?.kind === "paragraph" && startsTable(open.lines.at(-1), line)) {
      const header = open.lines.pop();
      if (!open.lines.length) blocks.pop();
      open = { kind: "table", lines: [header, line] };
      blocks.push(open);
    } else {
      open = startBlock(lines, index);
      blocks.push(open);
      if (open.kind === "formula") index += open.length - 1;
      if (open.kind === "formula" || open.kind === "rule" || open.kind === "heading") open = null;
      blank = false;
    }
  }
  return blocks;
}

function kindOf(line) {
  if (FENCE.test(line)) return "code";
  if (HEADING.test(line)) return "heading";
  if (RULE.test(line)) return "rule";
  if (QUOTE.test(line)) return "quote";
  return ITEM.test(line) ? "list" : "paragraph";
}

function startBlock(lines, index) {
  const line = lines[index];
  const length = formulaLength(lines, index);
  if (length) return { kind: "formula", lines: lines.slice(index, index + length), length };
  const kind = kindOf(line);
  if (kind !== "code") return { kind, lines: [line] };
  const [, indent, fence, label] = FENCE.exec(line);
  return { kind, lines: [], fence, indent: indent.length, language: label.trim().split(/\s/)[0] };
}

/** True if the line at `index` belongs to the block that is open. */
function continues(open, lines, index, blank) {
  const line = lines[index];
  const kind = kindOf(line);
  if (open.kind === "paragraph") {
    return kind === "paragraph" && !startsTable(open.lines.at(-1), line) && !formulaLength(lines, index);
  }
  if (open.kind === "quote") return kind === "quote" && !blank;
  if (open.kind === "table") return !blank && kind === "paragraph" && line.includes("|");
  if (open.kind !== "list") return false;
  const isInside = indentOf(line) >= indentOf(open.lines[0]) + 2;
  if (kind === "paragraph") return !blank || /^\s/.test(line);
  return isInside || (kind === "list" && isOrdered(line) === isOrdered(open.lines[0]));
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

/** Return the number of lines of a displayed formula that starts at `index`; 0 if none does. */
function formulaLength(lines, index) {
  const first = lines[index].trim();
  const end = FORMULA_ENDS[first.slice(0, 2)];
  if (!end) return 0;
  if (first.length > 4 && first.indexOf(end, 2) === first.length - 2) return isFormula(first.slice(2, -2)) ? 1 : 0;
  if (first.includes(end, 2)) return 0;
  for (let next = index + 1; next < lines.length && next < index + MAX_FORMULA_LINES && lines[next].trim(); next++) {
    const line = lines[next].trim();
    if (line.includes(end)) return line.indexOf(end) === line.length - 2 ? next - index + 1 : 0;
  }
  return 0;
}

const MAKERS = {
  paragraph: ({ lines }) => element("p", inline(lines.map((line) => line.trim()).join("\n"))),
  heading: ({ lines }) => {
    const [, marks, words] = HEADING.exec(lines[0]);
    return element(`h${Math.min(marks.length + 2, 6)}`, inline(withoutClosingMarks(words.trim()))); // h1 and h2 belong to the page
  },
  rule: () => element("hr", []),
  quote: ({ lines }, depth) => element("blockquote", nested(lines.map((line) => line.replace(QUOTE, "")), depth)),
  formula: ({ lines }) => scrollable(element("div", [formulaNode(lines.join("\n").trim().slice(2, -2))]), "display"),
  code: ({ lines, language }) => {
    const node = scrollable(element("pre", [element("code", [lines.join("\n")])]));
    const copy = element("button", ["Copy"]);
    copy.type = "button";
    copy.className = "copy-code";
    return element("figure", [element("figcaption", [element("span", [language.slice(0, 30)]), copy]), node]);
  },
  list: ({ lines }, depth) => list(lines, depth),
  table: ({ lines }) => table(lines),
};

/** Make horizontal scrolling possible by keyboard. */
function scrollable(node, name) {
  node.tabIndex = 0;
  if (name) node.className = name;
  return node;
}

/** Return the nodes of the blocks inside a quote or a list item; text if they are nested too deeply. */
function nested(lines, depth) {
  const blocks = depth > 1 ? split(lines) : [{ kind: "paragraph", lines }];
  return blocks.map((block) => MAKERS[block.kind](block, depth - 1));
}

/** Remove the closing number signs of a heading. */
function withoutClosingMarks(words) {
  let end = words.length;
  while (words[end - 1] === "#") end--;
  return end === 0 || /\s/.test(words[end - 1]) ? words.slice(0, end).trim() : words;
}

/** Return a list. By indentation, items have further lines and blocks of their own. */
function list(lines, depth) {
  const indent = indentOf(lines[0]);
  const node = document.createElement(isOrdered(lines[0]) ? "ol" : "ul");
  if (node.tagName === "OL") node.start = parseInt(lines[0]);
  const items = [];
  let fence = "";
  for (const line of lines) {
    const item = fence ? null : ITEM.exec(line);
    if (item && (!items.length || indentOf(line) < indent + 2)) {
      items.push({ width: item[0].length, lines: [line.slice(item[0].length)] });
      continue;
    }
    fence = fence ? (closes(line, fence) ? "" : fence) : (FENCE.exec(line)?.[2] ?? "");
    const last = items.at(-1);
    last.lines.push(unindented(line, last.width));
  }
  node.append(...items.map((item) => listItem(item.lines, depth)));
  return node;
}

/** Return a list item. Its first paragraph is text of the item itself. */
function listItem(lines, depth) {
  const box = CHECKBOXES[lines[0].slice(0, 4)];
  const [first, ...others] = nested(box ? [box + lines[0].slice(4), ...lines.slice(1)] : lines, depth);
  const item = element("li", first.tagName === "P" ? [...first.childNodes, ...others] : [first, ...others]);
  if (box) item.className = "task";
  return item;
}

function indentOf(line) {
  return /^[ \t]*/.exec(line)[0].replace(/\t/g, "    ").length;
}

function isOrdered(line) {
  return /^[ \t]*\d/.test(line);
}

/** Return the cells of a table row: text between vertical bars that are not escaped. */
function cells(line) {
  const row = line.trim().split(/(?<!\\)\|/);
  if (!row[0].trim()) row.shift();
  if (row.length && !row.at(-1).trim()) row.pop();
  return row.map((cell) => cell.trim().replaceAll("\\|", "|"));
}

/** True if two lines are the header of a table and the row of dashes below it. */
function startsTable(header, line) {
  if (!line.includes("|") || !header.includes("|")) return false;
  const dashes = cells(line);
  const matches = dashes.length === cells(header).length && dashes.length <= MAX_COLUMNS;
  return matches && dashes.length > 0 && dashes.every((cell) => /^:?-+:?$/.test(cell));
}

function table([header, dashes, ...rows]) {
  const alignments = cells(dashes).map((cell) => (cell.endsWith(":") ? (cell.startsWith(":") ? "center" : "right") : ""));
  const row = (line, name) => {
    const texts = cells(line);
    const nodes = alignments.map((alignment, index) => {
      const node = element(name, inline(texts[index] ?? ""));
      if (alignment) node.className = alignment;
      return node;
    });
    return element("tr", nodes);
  };
  const parts = [element("thead", [row(header, "th")]), element("tbody", rows.map((line) => row(line, "td")))];
  return scrollable(element("div", [element("table", parts)]), "table");
}
