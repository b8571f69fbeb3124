/** What Node's Buffer has and its types leave out: the latin1 forms of toString and write without their look at the encoding. */
interface Buffer {
  latin1Slice(start: number, end: number): string;
  latin1Write(text: string, start: number, length: number): number;
}
