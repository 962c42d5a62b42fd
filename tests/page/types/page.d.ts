// What the page uses and TypeScript does not know, or knows too narrowly.
interface JSON {
  rawJSON(text: string): any;
  isRawJSON(value: any): boolean;
}
interface Element {
  content: any; // of a `meta`
  focus(options?: FocusOptions): void;
}
interface EventTarget {
  closest?(selector: string): any;
}
declare module "htm";
declare module "preact";
declare module "preact/hooks";
