//! `freeboard headers`: cards (or attributes) of many files as one table.
//!
//! The text shows the cards that are not the same in all files; CSV and JSON lines have all,
//! or those that `--cards` names. A file that cannot be read has a row as well, and its reason on stderr, in
//! JSON and in the CSV's last column; when all are told, the command has failed.

use crate::{args::Headers as Args, output, progress::say};
use freeboard::{
    Result,
    formats::{
        ErrorKind, FormatError,
        headers::{self, Headers, Row},
    },
};
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let asked = (!args.cards.is_empty()).then_some(&args.cards[..]);
    let table = headers::scan(&args.paths, asked)?;
    for error in table.rows.iter().filter_map(|row| row.error.as_ref()) {
        say(&format!("warning: {}", error.replace('\n', " ")));
    }
    output::print(|out| match (args.json, args.csv) {
        (true, _) => table.rows.iter().try_for_each(|row| json_line(out, &table, row)),
        (_, true) => csv(out, &table),
        _ => text(out, &table, asked.is_some()),
    })?;
    match table.rows.iter().filter(|row| row.error.is_some()).count() {
        0 => Ok(()),
        bad => {
            let message = format!("{bad} of {} files cannot be read", table.rows.len());
            Err(FormatError::new(ErrorKind::Corrupt, message).into())
        }
    }
}

/// A line: `file`, `error` (null of a file that was read), and `cards`.
fn json_line(out: &mut dyn Write, table: &Headers, row: &Row) -> io::Result<()> {
    let cards: Map<String, Value> = table
        .cards
        .iter()
        .enumerate()
        .filter_map(|(column, card)| Some((card.clone(), row.get(column)?.clone())))
        .collect();
    let line =
        json!({ "file": row.path.display().to_string(), "error": row.error, "cards": cards });
    writeln!(out, "{line}")
}

/// The value as a cell of a table; nothing where a file has no such card, or it has no value.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        // Cards that may come often: COMMENT, HISTORY.
        Some(Value::Array(lines)) if lines.iter().all(Value::is_string) => {
            lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
        }
        Some(other) => other.to_string(),
    }
}

/// As RFC 4180 has it, with `\n` behind each record.
fn csv(out: &mut dyn Write, table: &Headers) -> io::Result<()> {
    let quoted = |text: &str| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    let mut record = |cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<String> = cells.map(|cell| quoted(&cell)).collect();
        writeln!(out, "{}", cells.join(","))
    };
    let names = ["file".to_owned()].into_iter().chain(table.cards.iter().cloned());
    record(&mut names.chain(["error".to_owned()]))?;
    for row in &table.rows {
        let file = row.path.display().to_string();
        let cells = (0..table.cards.len()).map(|column| cell(row.get(column)));
        let error = row.error.clone().unwrap_or_default();
        record(&mut [file].into_iter().chain(cells).chain([error]))?;
    }
    Ok(())
}

/// Columns in line, numbers to the right; all that were asked for, or those that differ.
fn text(out: &mut dyn Write, table: &Headers, all: bool) -> io::Result<()> {
    /// Longer cells are cut.
    const WIDEST: usize = 40;
    let columns = if all { (0..table.cards.len()).collect() } else { table.differing() };
    let shown = |row: &Row, column: usize| {
        let text = cell(row.get(column)).replace('\n', " ");
        match text.char_indices().nth(WIDEST) {
            Some((at, _)) => format!("{}…", &text[..at]),
            None => text,
        }
    };
    let read: Vec<&Row> = table.rows.iter().filter(|row| row.error.is_none()).collect();
    let file = |row: &Row| row.path.display().to_string();
    let width = |text: &str| text.chars().count();
    let files = table.rows.iter().map(|row| width(&file(row))).max().unwrap_or(0).max(4);
    let mut layout = Vec::with_capacity(columns.len());
    for &column in &columns {
        let cells = read.iter().map(|row| width(&shown(row, column))).max().unwrap_or(0);
        let number = read.iter().all(|row| row.get(column).is_none_or(Value::is_number));
        layout.push((column, cells.max(width(&table.cards[column])), number));
    }
    let mut line = format!("{:<files$}", "file");
    for &(column, width, number) in &layout {
        let name = &table.cards[column];
        line += &if number { format!("  {name:>width$}") } else { format!("  {name:<width$}") };
    }
    writeln!(out, "{}", line.trim_end())?;
    for row in &table.rows {
        if row.error.is_some() {
            writeln!(out, "{:<files$}  (cannot be read)", file(row))?;
            continue;
        }
        let mut line = format!("{:<files$}", file(row));
        for &(column, width, number) in &layout {
            let cell = shown(row, column);
            line += &if number { format!("  {cell:>width$}") } else { format!("  {cell:<width$}") };
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    let same = table.cards.len() - columns.len();
    if same > 0 {
        let (cards, are) = if same == 1 { ("card", "is") } else { ("cards", "are") };
        writeln!(
            out,
            "{same} {cards} {are} the same in all files: --cards, --csv or --json show them"
        )?;
    }
    Ok(())
}
