export function rowsOf(source, delimiter, isWhole) {
	const rows = [[]];
	for (const [, quoted, plain, end] of source.matchAll(new RegExp(`(?:"((?:[^"]|"")*)"|([^${delimiter}\r\n]*))(${delimiter}|\r?\n|$)`, "g"))) {
		rows.at(-1).push(quoted?.replaceAll('""', '"') ?? (plain || null));
		if (!end) break;
		if (end !== delimiter) rows.push([]);
	}
	return isWhole && rows.at(-1).join("") ? rows : rows.slice(0, -1);
}
