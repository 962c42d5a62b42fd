/** Parts that several views use, under the name `parts`. */
export * from "./basics.js";
export * from "./curve.js";
export * from "./demo.js";
export * from "./json.js";
export * from "./keys.js";
export * from "./picture.js";
export * from "./start.js";
export * from "./tables.js";
export * from "./virtual.js";
