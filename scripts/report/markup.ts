const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** What no document may have: control characters but tabs and ends of lines, halves of characters, and what is none. */
const UNFIT = /[^\P{Cc}\t\n\r]|\p{Cs}|\p{Noncharacter_Code_Point}/gu;

/** Text as it may stand in an element or an attribute. */
export function escape(text: string): string {
  return text.replaceAll(UNFIT, "").replaceAll(/[&<>"']/g, (one) => ENTITIES[one] ?? "");
}

/** Markdown of the simplest kind as HTML: paragraphs, lists, and words in `code`, **strong** and *emphasis*. */
export function prose(markdown: string): string {
  return markdown
    .split(/\n{2,}/)
    .map((block) => block.trim())
    .filter((block) => block !== "")
    .map(blockOf)
    .join("\n");
}

function blockOf(block: string): string {
  const items = block.split(/^- /m);
  if (items.length > 1 && items[0] === "")
    return `<ul>${items
      .slice(1)
      .map((item) => `<li>${words(item.trim())}</li>`)
      .join("")}</ul>`;
  return `<p>${words(block)}</p>`;
}

/** What is in backticks stays as it is. */
function words(text: string): string {
  return escape(text)
    .split(/(`[^`]+`)/)
    .map((part) =>
      part.startsWith("`") && part.length > 2
        ? `<code>${part.slice(1, -1)}</code>`
        : part
            .replaceAll(/\*\*([^*]+)\*\*/g, "<strong>$1</strong>")
            .replaceAll(/\*([^*\s][^*]*)\*/g, "<em>$1</em>"),
    )
    .join("");
}
