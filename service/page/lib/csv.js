/** CSV as RFC 4180 has it. */

/** Return the rows of a CSV text; of one that was cut off, without its last row. */
export function rowsOf(source, delimiter = ",", isWhole = true) {
	const rows = [];
	let row = [], cell = "", isQuoted = false;
	const endCell = () => (row.push(cell), (cell = ""));
	const endRow = () => (endCell(), rows.push(row), (row = []));
	for (let at = 0; at < source.length; at++) {
		const char = source[at];
		if (isQuoted) {
			if (char !== '"') cell += char;
			else if (source[at + 1] === '"') (cell += '"'), at++;
			else isQuoted = false;
		} else if (char === '"' && cell === "") isQuoted = true;
		else if (char === delimiter) endCell();
		else if (char === "\n") endRow();
		else if (char !== "\r") cell += char;
	}
	if (isWhole && (cell || row.length)) endRow();
	return rows;
}
