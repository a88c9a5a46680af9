//! What may be said of several files beside where they are, and how it is told to another
//! process.

use crate::{
    cf,
    error::{ErrorKind, FormatError, Result},
    missing::{Blank, Missing},
    source::SourceSpec,
};
use std::collections::BTreeMap;

/// What may be said of several files beside where they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Lengths of the leading axes that the files are folded into.
    pub stacked: Option<Vec<u64>>,
    /// Whether leading axes of length 1 of the files themselves are kept.
    pub keep_axes: bool,
    /// The cards (attributes) whose values place the files: one leading axis each; empty to
    /// stack files in the order of their names.
    pub cards: Vec<String>,
    /// What is done where a file is missing or cannot be read.
    pub missing: Missing,
    /// What undefined elements of FITS images are.
    pub blank: Blank,
    /// Whether elements are unpacked as their attributes say, by the conventions of netCDF:
    /// `_FillValue` and `missing_value` become NaN, the rest is scaled by `scale_factor` and
    /// `add_offset`. What has none of these is as it is stored.
    pub decode_cf: bool,
}

impl OpenOptions {
    /// Folds the axis of files into several, of these lengths.
    #[must_use]
    pub fn stacked(mut self, lengths: impl Into<Vec<u64>>) -> OpenOptions {
        self.stacked = Some(lengths.into());
        self
    }

    /// Keeps the files' own leading axes of length 1.
    #[must_use]
    pub fn keep_axes(mut self) -> OpenOptions {
        self.keep_axes = true;
        self
    }

    /// Places each file by what these cards (or attributes) of it say: a leading axis for
    /// each card, its values sorted. All headers are read at once.
    #[must_use]
    pub fn by_cards<C: Into<String>>(mut self, cards: impl IntoIterator<Item = C>) -> OpenOptions {
        self.cards = cards.into_iter().map(Into::into).collect();
        self
    }

    /// What is done where a file is missing or cannot be read; an error by default.
    #[must_use]
    pub fn missing(mut self, policy: Missing) -> OpenOptions {
        self.missing = policy;
        self
    }

    /// What undefined elements of FITS images are; NaN by default.
    #[must_use]
    pub fn blank(mut self, policy: Blank) -> OpenOptions {
        self.blank = policy;
        self
    }

    /// Unpacks elements as their attributes say, by the conventions of netCDF:
    /// [`OpenOptions::decode_cf`].
    #[must_use]
    pub fn decode_cf(mut self) -> OpenOptions {
        self.decode_cf = true;
        self
    }

    /// Whether files that are not there are no error.
    pub(super) fn may_lack(&self) -> bool {
        self.missing != Missing::Error
    }

    /// How to open a stack of `locations` again.
    pub(super) fn to_spec(&self, locations: &[String]) -> SourceSpec {
        let mut said = BTreeMap::new();
        let mut say = |key: &str, value: String| said.insert(key.to_owned(), value);
        if let Some(lengths) = &self.stacked {
            let lengths: Vec<String> = lengths.iter().map(u64::to_string).collect();
            say("stacked", lengths.join(","));
        }
        if self.keep_axes {
            say("keep_axes", "true".to_owned());
        }
        if !self.cards.is_empty() {
            say("cards", self.cards.join("\n"));
        }
        if self.may_lack() {
            say("missing", self.missing.to_string());
        }
        if self.blank != Blank::default() {
            say(Blank::OPTION, self.blank.to_string());
        }
        if self.decode_cf {
            say(cf::OPTION, "true".to_owned());
        }
        SourceSpec { format: "stack".into(), location: locations.join("\n"), options: said }
    }

    /// Locations and options of what [`OpenOptions::to_spec`] made, or of a single array.
    pub(super) fn from_spec(spec: &SourceSpec) -> Result<(Vec<String>, OpenOptions)> {
        let said = |key: &str| spec.options.get(key);
        let decode_cf = said(cf::OPTION).is_some_and(|said| said == "true");
        let blank = said(Blank::OPTION).map(|policy| policy.parse()).transpose()?;
        let blank: Blank = blank.unwrap_or_default();
        if spec.format != "stack" {
            let options = OpenOptions { blank, decode_cf, ..OpenOptions::default() };
            return Ok((vec![spec.location.clone()], options));
        }
        let stacked = said("stacked").map(|text| {
            text.split(',').map(str::parse).collect::<Result<Vec<u64>, _>>().map_err(|e| {
                let message = format!("{text:?} are not the lengths of stacked axes");
                FormatError::new(ErrorKind::Invalid, message).because(e)
            })
        });
        let options = OpenOptions {
            stacked: stacked.transpose()?,
            keep_axes: said("keep_axes").is_some_and(|said| said == "true"),
            cards: said("cards")
                .map(|cards| cards.split('\n').map(str::to_owned).collect())
                .unwrap_or_default(),
            missing: said("missing").map(|policy| policy.parse()).transpose()?.unwrap_or_default(),
            blank,
            decode_cf,
        };
        Ok((spec.location.split('\n').map(str::to_owned).collect(), options))
    }
}
