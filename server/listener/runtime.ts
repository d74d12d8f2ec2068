/** What differs between the two runtimes of a worker. Nothing else may branch on the runtime. */

/** Name and version, as the status of an edge shows it: `bun 1.4.5`, `node 26.10.0`. */
export const runtimeLabel =
  process.versions.bun === undefined ? `node ${process.versions.node}` : `bun ${process.versions.bun}`
