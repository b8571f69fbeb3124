/** What a long run has to tell, as text and as charts: `markdown.ts` and `page.ts` write it down. */
export interface Report {
  readonly title: string;
  /** Prose: paragraphs with an empty line between them, lists of `- `, and `code`, **strong** and *emphasised* words. */
  readonly intro: string;
  readonly sections: readonly Section[];
}

export interface Section {
  readonly name: string;
  /** What was done, before the table. */
  readonly note: string;
  /** Titles; the first column has the names. */
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly charts?: readonly Chart[];
  readonly curves?: readonly Curve[];
  /** What is to be said after the table. */
  readonly remarks?: readonly string[];
}

/** Bars, from the least to the greatest. */
export interface Chart {
  readonly title: string;
  readonly bars: readonly Bar[];
}

export interface Bar {
  readonly name: string;
  readonly value: number;
  /** The least and the greatest value, where there are several. */
  readonly range?: readonly [least: number, greatest: number];
  /** The value as the table has it. */
  readonly text: string;
  /** True for what the report is about; the others are there to compare. */
  readonly isOurs?: boolean;
}

/** How a value went over time. */
export interface Curve {
  readonly title: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** What the first and the last x are. */
  readonly ends: readonly [first: string, last: string];
  /** What is to be seen, in words: between which values it stayed. */
  readonly text: string;
}
