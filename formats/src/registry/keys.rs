//! Files placed by their headers: the values of cards (or attributes) are the labels of the
//! leading axes.

use super::{OpenOptions, Registry};
use crate::{
    arrange::{Field, FileList, arrange, natural, text_labels},
    error::{ErrorKind, FormatError, Result},
    source::Labels,
    stack::for_all,
};
use serde_json::Value;
use std::{cmp::Ordering, collections::HashMap, path::PathBuf};

/// The files in C order over the values of `options.cards`, each value a label. All headers
/// are read, by several threads where there are many.
///
/// # Errors
/// If a header cannot be read or lacks a card (unless missing files are allowed: such a file
/// has no place, so it is left out), two files have the same values, or some values no file.
pub(super) fn by_cards(
    registry: Registry,
    files: FileList,
    item: Option<&str>,
    locations: &[String],
    options: &OpenOptions,
) -> Result<FileList> {
    let cards = &options.cards;
    let paths: Vec<PathBuf> = files.paths.into_iter().flatten().collect();
    let read = for_all(paths.len(), |i| {
        let path = &paths[i];
        let values = registry.format_of(path).and_then(|format| {
            let attributes = format.attributes(path, item)?;
            cards.iter().map(|card| value_of(attributes.get(card), card)).collect()
        });
        match values {
            Ok(values) => Ok(Some(values)),
            Err(error) if options.missing.takes(&error) => {
                tracing::warn!("left out: {}", error.at_path(path));
                Ok(None)
            }
            Err(error) => Err(error.at_path(path)),
        }
    })?;
    let keyed: Vec<(PathBuf, Vec<Value>)> =
        paths.into_iter().zip(read).filter_map(|(path, values)| Some((path, values?))).collect();
    let at = locations.join(" ");
    if keyed.is_empty() {
        let message = format!("no file has the cards {}", cards.join(", "));
        return Err(FormatError::new(ErrorKind::NotFound, message).at(at));
    }
    let (mut fields, mut positions) = (Vec::new(), vec![Vec::new(); keyed.len()]);
    for (n, card) in cards.iter().enumerate() {
        let (labels, along) = labels(keyed.iter().map(|(_, values)| &values[n]));
        for (file, position) in positions.iter_mut().zip(along) {
            file.push(position);
        }
        fields.push(Field { name: card.clone(), labels });
    }
    let placed = keyed.into_iter().map(|(path, _)| path).zip(positions);
    arrange(&at, fields, placed, options.may_lack())
}

/// The value of a card that places a file: a text, a number or a truth.
fn value_of(value: Option<&Value>, card: &str) -> Result<Value> {
    match value {
        Some(value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => Ok(value.clone()),
        Some(value) => Err(FormatError::new(
            ErrorKind::Corrupt,
            format!("the card {card} is {value}, which is no coordinate"),
        )),
        None => Err(FormatError::new(ErrorKind::NotFound, format!("there is no card {card}"))),
    }
}

/// The sorted labels that `values` have, and the position of each along them. Numbers sort by
/// value, and before texts.
fn labels<'a>(values: impl Iterator<Item = &'a Value>) -> (Labels, Vec<usize>) {
    let values: Vec<&Value> = values.collect();
    let (labels, texts): (Labels, Vec<String>) = if values.iter().all(|value| value.is_string()) {
        let labels = text_labels(values.iter().filter_map(|value| value.as_str()));
        (labels, values.iter().map(|value| text(value)).collect())
    } else if let Some(numbers) = values.iter().map(|value| value.as_u64()).collect() {
        let mut numbers: Vec<u64> = numbers;
        numbers.sort_unstable();
        numbers.dedup();
        (Labels::Numbers(numbers.into()), values.iter().map(|value| text(value)).collect())
    } else {
        let mut sorted = values.clone();
        sorted.sort_by(|a, b| by_value(a, b));
        sorted.dedup_by(|a, b| by_value(a, b).is_eq());
        // Equal numbers may be written differently (1 and 1.0): the first names them all.
        let label_of = |value: &Value| sorted.binary_search_by(|v| by_value(v, value));
        let names: Vec<String> = sorted.iter().map(|value| text(value)).collect();
        let texts = values
            .iter()
            .map(|value| label_of(value).map_or_else(|_| text(value), |at| names[at].clone()))
            .collect();
        (Labels::Text(names.into_iter().map(String::into_boxed_str).collect()), texts)
    };
    let at: HashMap<String, usize> = (0..labels.len()).map(|i| (labels.get(i), i)).collect();
    // Every value is one of the labels.
    let positions = texts.iter().map(|text| at.get(text).copied().unwrap_or(0)).collect();
    (labels, positions)
}

fn by_value(a: &Value, b: &Value) -> Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(x), Some(y)) => x.total_cmp(&y),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => natural(&text(a), &text(b)),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_sort_by_what_they_are() {
        let of = |values: &[Value]| {
            let (labels, positions) = labels(values.iter());
            (labels.to_string(), positions)
        };
        let stokes = [json!("V"), json!("I"), json!("V")];
        assert_eq!(of(&stokes), ("I V".into(), vec![1, 0, 1]));
        assert_eq!(of(&[json!(10), json!(9)]), ("9 10".into(), vec![1, 0]));
        assert_eq!(of(&[json!(-0.5), json!(-10), json!(1)]), ("-10 -0.5 1".into(), vec![1, 0, 2]));
        assert_eq!(of(&[json!(1), json!(1.0), json!(0.5)]), ("0.5 1".into(), vec![1, 1, 0]));
        assert_eq!(of(&[json!("x"), json!(3), json!(true)]), ("3 true x".into(), vec![2, 0, 1]));
    }
}
