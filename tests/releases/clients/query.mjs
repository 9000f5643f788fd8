// Ask a release the queries of the command line with DuckDB for Node; print JSON.
import { DuckDBInstance, version } from "@duckdb/node-api";

const [file, request] = process.argv.slice(2);
const queries = JSON.parse(request);
const forbidden = queries.pop();

const instance = await DuckDBInstance.create(file, { access_mode: "READ_ONLY" });
const connection = await instance.connect();
const answers = [];
for (const query of queries) {
  const reader = await connection.runAndReadAll(query);
  answers.push(reader.getRowsJson());
}
let refusal = null;
try {
  await connection.run(forbidden);
} catch (error) {
  refusal = error.message;
}
console.log(JSON.stringify({ version: version(), answers, refusal }));
