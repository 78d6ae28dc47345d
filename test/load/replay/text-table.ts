/** Lines of a table with a header: numbers to the right, text to the left. No lines for no rows. */
export function textTable(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  if (rows.length === 0) return [];
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => String(row[column] ?? '').length)),
  );
  const line = (cells: readonly (string | number)[], isNumber: (column: number) => boolean) =>
    widths
      .map((width, column) => {
        const text = String(cells[column] ?? '');
        return isNumber(column) ? text.padStart(width) : text.padEnd(width);
      })
      .join('  ')
      .trimEnd();
  const isNumberColumn = (column: number) => typeof rows[0]?.[column] === 'number';
  return [line(header, isNumberColumn), ...rows.map((row) => line(row, isNumberColumn))];
}
