//! The headers of many files as one table: a file a row, a card (or attribute) a column.
//!
//! Headers are read by several threads, one file open in each. Cells are kept sparsely, as
//! files of several kinds share few cards. A file that cannot be read has its reason in its row,
//! and does not end the scan.

use crate::{
    error::{ErrorKind, Result},
    registry,
    stack::for_all,
};
use serde_json::Value;
use std::{
    collections::HashMap,
    path::PathBuf,
    slice,
    sync::{Mutex, PoisonError},
};

/// Cards of many files.
#[derive(Clone, Debug)]
pub struct Headers {
    /// The names of the columns: those asked for in that order, or all there are, sorted.
    pub cards: Vec<String>,
    /// The files, in the order in which a stack has them.
    pub rows: Vec<Row>,
}

/// The cards of one file.
#[derive(Clone, Debug)]
pub struct Row {
    /// The file.
    pub path: PathBuf,
    /// Why it could not be read.
    pub error: Option<String>,
    /// Values with the numbers of their columns, which increase.
    cells: Vec<(u32, Value)>,
}

impl Row {
    /// The value in the column with this number, if the file has such a card.
    pub fn get(&self, column: usize) -> Option<&Value> {
        let at = self.cells.binary_search_by_key(&column, |(column, _)| *column as usize).ok()?;
        Some(&self.cells[at].1)
    }
}

/// Reads the headers of all files at `locations`; only the `cards` named, or all.
///
/// # Errors
/// If nothing is at the only location. What is wrong with a single file of several is told in its
/// row, and so is that there is none.
pub fn scan(locations: &[String], cards: Option<&[String]>) -> Result<Headers> {
    let mut files = Vec::new();
    for location in locations {
        match registry::files(slice::from_ref(location)) {
            Ok(found) => files.extend(found),
            // It is opened as the others are, and told not to be there.
            Err(error) if error.kind() == ErrorKind::NotFound && locations.len() > 1 => {
                files.push((location.into(), None));
            }
            Err(error) => return Err(error),
        }
    }
    let columns = Mutex::new(Columns::default());
    let lock = || columns.lock().unwrap_or_else(PoisonError::into_inner);
    for card in cards.unwrap_or_default() {
        lock().number(card);
    }
    let mut rows = for_all(files.len(), |i| {
        let (path, item) = &files[i];
        let read = registry::format_of(path)
            .and_then(|format| format.attributes(path, item.as_deref()))
            .map_err(|error| error.at_path(path).to_string());
        Ok(match read {
            Err(error) => Row { path: path.clone(), error: Some(error), cells: Vec::new() },
            Ok(attributes) => {
                let mut columns = lock();
                let mut cells: Vec<(u32, Value)> = match cards {
                    Some(cards) => cards
                        .iter()
                        .filter_map(|card| {
                            Some((columns.number(card), attributes.get(card)?.clone()))
                        })
                        .collect(),
                    None => attributes
                        .iter()
                        .map(|(card, value)| (columns.number(card), value.clone()))
                        .collect(),
                };
                drop(columns);
                cells.sort_by_key(|(column, _)| *column);
                cells.dedup_by_key(|(column, _)| *column);
                Row { path: path.clone(), error: None, cells }
            }
        })
    })?;
    let columns = columns.into_inner().unwrap_or_else(PoisonError::into_inner);
    if cards.is_some() {
        return Ok(Headers { cards: columns.names, rows });
    }
    // Which file's thread came first is chance: columns are sorted.
    let mut order: Vec<usize> = (0..columns.names.len()).collect();
    order.sort_by(|&a, &b| columns.names[a].cmp(&columns.names[b]));
    let mut place = vec![0u32; order.len()];
    for (new, &old) in order.iter().enumerate() {
        place[old] = new as u32;
    }
    for row in &mut rows {
        row.cells.iter_mut().for_each(|(column, _)| *column = place[*column as usize]);
        row.cells.sort_by_key(|(column, _)| *column);
    }
    Ok(Headers { cards: order.into_iter().map(|old| columns.names[old].clone()).collect(), rows })
}

/// The numbers of cards.
#[derive(Default)]
struct Columns {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Columns {
    fn number(&mut self, card: &str) -> u32 {
        if let Some(&number) = self.numbers.get(card) {
            return number;
        }
        let number = self.names.len() as u32;
        self.names.push(card.to_owned());
        self.numbers.insert(card.to_owned(), number);
        number
    }
}

impl Headers {
    /// The columns, by number, whose value is not the same in all files that were read.
    pub fn differing(&self) -> Vec<usize> {
        let mut read = self.rows.iter().filter(|row| row.error.is_none());
        let Some(first) = read.next() else { return Vec::new() };
        let rest: Vec<&Row> = read.collect();
        let differs = |&column: &usize| rest.iter().any(|row| row.get(column) != first.get(column));
        (0..self.cards.len()).filter(differs).collect()
    }
}
