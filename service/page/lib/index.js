/** All that components import from here, under the name `lib`. */
export * from "./api.js";
export * from "./conditions.js";
export * from "./csv.js";
export * from "./edges.js";
export * from "./format.js";
export * from "./graphs.js";
export * from "./html.js";
export * from "./json.js";
export * from "./load.js";
export * from "./router.js";
export * from "./solve.js";
export * from "./text.js";
export * from "./run.js";
