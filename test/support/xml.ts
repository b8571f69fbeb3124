/** An element, or what it holds of text. */
export interface Element {
  readonly tag: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: (Element | string)[];
}

const ATTRIBUTE = /\s+([a-z][\w-]*)="([^"<]*)"/giy;
const TEXT = /^(?:[^<&]|&(?:amp|lt|gt|quot|#39);)*$/;

/** Reads a document as strictly as XML is read, and throws where it is not well-formed. Knows no more entities than our own. */
export function parseXml(source: string): Element {
  const root: Element = { tag: "", attributes: {}, children: [] };
  const open = [root];
  const body = source.replace(/^<!DOCTYPE html>\n/, "");
  for (const [all, text = "", markup] of body.matchAll(/([^<]*)(<[^>]*>)?/g)) {
    if (all === "") continue;
    if (!TEXT.test(text)) throw new Error(`text that is not escaped: ${text}`);
    const parent = open.at(-1);
    if (text.trim() !== "") parent?.children.push(unescape(text));
    if (markup === undefined) continue;
    const [, end, tag = "", rest = "", empty] = /^<(\/?)([a-z][\w]*)([^]*?)(\/?)>$/i.exec(markup) ?? [];
    if (tag === "") throw new Error(`no tag: ${markup}`);
    if (end === "/") {
      if (open.pop()?.tag !== tag) throw new Error(`${markup} ends something else`);
      continue;
    }
    const element: Element = { tag, attributes: attributesOf(rest), children: [] };
    parent?.children.push(element);
    if (empty !== "/") open.push(element);
  }
  if (open.length !== 1) throw new Error(`<${open.at(-1)?.tag}> has no end`);
  return root;
}

function attributesOf(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  let end = 0;
  for (const match of text.matchAll(ATTRIBUTE)) {
    const [all, name = "", value = ""] = match;
    if (name in found || !TEXT.test(value)) throw new Error(`a wrong attribute: ${all}`);
    found[name] = unescape(value);
    end = match.index + all.length;
  }
  if (text.slice(end).trim() !== "") throw new Error(`no attributes: ${text}`);
  return found;
}

function unescape(text: string): string {
  const names: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" };
  return text.replaceAll(/&(amp|lt|gt|quot|#39);/g, (_, name: string) => names[name] ?? "");
}

/** All elements with this tag, in the order of the document. */
export function all(element: Element, tag: string): Element[] {
  return element.children.flatMap((child) =>
    typeof child === "string" ? [] : [...(child.tag === tag ? [child] : []), ...all(child, tag)],
  );
}

/** All text within. */
export function textOf(element: Element): string {
  return element.children.map((child) => (typeof child === "string" ? child : textOf(child))).join("");
}
