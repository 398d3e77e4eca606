// The suite imports a function that only Node 22 has, for a command that is not used here.
import { register } from "node:module";

const FS = 'data:text/javascript,export * from "node:fs"; export const globSync = () => [];';
const hook = `export const resolve = (name, context, next) =>
  name === "fs" && context.parentURL?.includes("/conformance/dist/") ? { url: ${JSON.stringify(FS)}, shortCircuit: true } : next(name, context);`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);
