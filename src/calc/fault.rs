//! What is wrong with a formula, and where: the text, the place in it, and what to do.

use crate::error::{Error, ErrorKind};
use std::fmt;

/// Where something stands in a formula: bytes, the end left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    /// From the start of `self` to the end of `other`.
    pub(super) fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end }
    }
}

/// The result of reading and evaluating.
pub(super) type Result<T, E = Box<Fault>> = std::result::Result<T, E>;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
    /// The innermost part of the formula that is at fault, once it is known.
    span: Option<Span>,
}

impl Fault {
    /// The formula cannot be read: its grammar, names or arguments.
    pub(super) fn new(message: impl Into<String>) -> Box<Fault> {
        let message = message.into();
        Box::new(Fault { kind: ErrorKind::Formula, message, help: None, span: None })
    }

    /// What it says makes no sense for these arrays: shapes, dtypes, values.
    pub(super) fn value(message: impl Into<String>) -> Box<Fault> {
        let message = message.into();
        Box::new(Fault { kind: ErrorKind::Expression, message, help: None, span: None })
    }

    /// Says where, unless that is known already.
    pub(super) fn at(mut self: Box<Fault>, span: Span) -> Box<Fault> {
        self.span.get_or_insert(span);
        self
    }

    /// Says what to do.
    pub(super) fn help(mut self: Box<Fault>, help: impl Into<String>) -> Box<Fault> {
        self.help = Some(help.into());
        self
    }

    /// As an error that shows the place in `text`.
    pub(super) fn into_error(self, text: &str) -> Error {
        let mut message = self.message;
        if let Some(span) = self.span {
            message.push_str(&underlined(text, span));
        }
        let error = Error::new(self.kind, message);
        match self.help {
            Some(help) => error.help(help),
            None => error,
        }
    }
}

impl From<Error> for Box<Fault> {
    /// A mistake that a verb found. The line that it names is one of this module, and says nothing to
    /// the reader of a formula.
    fn from(error: Error) -> Box<Fault> {
        let mut message = error.to_string();
        if let Some(at) = error.location() {
            message = message.replacen(&format!(" at {}:{}", at.file(), at.line()), "", 1);
        }
        let (message, help) = match message.split_once("\n  ") {
            Some((message, help)) => (message.to_owned(), Some(help.to_owned())),
            None => (message, None),
        };
        Box::new(Fault { kind: error.kind(), message, help, span: None })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Two lines: the line of `text` where `span` begins, and carets under it. Of a long line there is only what stands
/// around the beginning of `span`.
fn underlined(text: &str, span: Span) -> String {
    const WIDTH: usize = 76;
    let start = span.start.min(text.len());
    let before = &text[..start];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    // A character is taken to be one column wide; tabs would not be.
    let line: Vec<char> =
        text[line_start..line_end].trim_end().replace('\t', " ").chars().collect();
    let column = text[line_start..start].chars().count();
    let width = text[start..span.end.clamp(start, line_end)].chars().count().max(1);
    let (mut first, mut end) = (0, line.len());
    if line.len() > WIDTH {
        // The part at fault in the middle; of a long one its beginning.
        first = column.saturating_sub(WIDTH.saturating_sub(width) / 2).min(line.len() - WIDTH);
        end = first + WIDTH;
    }
    let mut shown: Vec<char> = line[first..end].to_vec();
    if first > 0 {
        shown[0] = '…';
    }
    if end < line.len() {
        shown[end - first - 1] = '…';
    }
    let column = column - first;
    // A place behind the line has its caret too.
    let width = width.min((end - first).saturating_sub(column).max(1));
    let shown = String::from_iter(shown);
    format!("\n  {shown}\n  {}{}", " ".repeat(column), "^".repeat(width))
}

/// The name among `names` that `name` was probably meant to be: a letter of three, or fewer, is another one, too many,
/// missing, or has changed places.
pub(super) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let most = name.chars().count() / 3;
    let changes = |other: &str| strsim::osa_distance(&name, &other.to_lowercase());
    let near = names.into_iter().map(|other| (changes(other), other));
    // Of equals the one that comes first in the alphabet.
    near.filter(|(changes, _)| *changes <= most).min().map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_underlined() {
        let span = |start, end| Some(Span { start, end });
        let mut fault = *Fault::new("no such name").help("look again");
        fault.span = span(4, 7);
        let error = fault.clone().into_error("a + bcd").to_string();
        assert_eq!(error, "no such name\n  a + bcd\n      ^^^\n  look again");
        fault.span = span(6, 13);
        let error = fault.clone().into_error("ä +\n\tbcd(\n)").to_string();
        assert!(error.contains("\n   bcd(\n   ^^^^\n"), "{error}");
        let long = format!("{} + bcd + {}", "a".repeat(100), "e".repeat(100));
        let text = underlined(&long, Span { start: 103, end: 106 });
        assert_eq!(
            text,
            format!("\n  …{} + bcd + {}…\n  {}^^^", "a".repeat(32), "e".repeat(33), " ".repeat(36))
        );
        let whole = underlined(&long, Span { start: 0, end: 209 });
        assert_eq!(whole, format!("\n  {}…\n  {}", "a".repeat(75), "^".repeat(76)));
        fault.span = span(3, 3);
        assert!(fault.into_error("a +").to_string().contains("\n  a +\n     ^\n"));
    }

    #[test]
    fn names_that_were_meant() {
        let names = ["maximum", "mean", "median", "minimum", "gaussian_filter"];
        assert_eq!(nearest("maen", names), Some("mean"));
        assert_eq!(nearest("gausian_filter", names), Some("gaussian_filter"));
        assert_eq!(nearest("Mean", names), Some("mean"));
        for far in ["qqq", "zoom", "rotate", "shift", "real", "cross", "m"] {
            assert_eq!(
                nearest(far, ["sum", "area", "histogram", "cos", "rot90", "x"]),
                None,
                "{far}"
            );
        }
    }
}
