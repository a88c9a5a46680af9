//! Names of many files: globs, and patterns with named fields, as sorted lists.
//!
//! Owns the meaning of `visp/{stokes}_{raster:d}.fits`: each field becomes a leading axis,
//! in the order in which the fields appear, with its labels sorted; every combination of
//! labels must be the name of exactly one file. Nothing is opened here, only listed.
//! Hidden files (staging names among them) are never matched.

use crate::{
    arrange::{Field, FileList, arrange, natural, text_labels},
    aside,
    error::{ErrorKind, FormatError, Result},
    source::Labels,
};
use glob::{MatchOptions, Pattern as Glob};
use std::{
    collections::{BTreeSet, HashMap},
    path::{Component, Path, PathBuf},
};

/// Sorts paths naturally.
pub(crate) fn sort(paths: &mut [PathBuf]) {
    paths.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
}

/// Whether `text` has the characters of a glob.
pub(crate) fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether `text` has a field, `{name}`.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.split('{').skip(1).any(|rest| rest.contains('}'))
}

const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    // The crate's own rule leaves out what `.*` matches, and panics at names that are no text.
    require_literal_leading_dot: false,
};

/// Parts of a path or glob that begin with a dot.
fn hidden(path: &Path) -> usize {
    let hidden = |part: &Component<'_>| match part {
        Component::Normal(name) => name.as_encoded_bytes().starts_with(b"."),
        _ => false,
    };
    path.components().filter(hidden).count()
}

/// The paths that match a glob, sorted naturally.
///
/// # Errors
/// If there is none (the error says where was looked), or a folder cannot be read.
pub(crate) fn glob(text: &str) -> Result<FileList> {
    let paths = matches(text, &without_dots(text))?;
    if paths.is_empty() {
        return Err(no_match(text, None));
    }
    Ok(FileList::plain(paths))
}

/// The paths that match; what a killed store left under another name is among them.
fn matches(shown: &str, glob: &str) -> Result<Vec<PathBuf>> {
    for path in listed(shown, &aside::glob_of(glob))? {
        if let Some(target) = aside::target_of(&path) {
            aside::restore(&target)?;
        }
    }
    listed(shown, glob)
}

fn listed(shown: &str, glob: &str) -> Result<Vec<PathBuf>> {
    let found = ::glob::glob_with(glob, OPTIONS).map_err(|e| {
        FormatError::new(ErrorKind::Invalid, format!("{} in a glob", e.msg)).at(shown).because(e)
    })?;
    let (mut paths, told) = (Vec::new(), hidden(Path::new(glob)));
    for path in found {
        let path = path.map_err(|e| {
            let path = e.path().to_owned();
            FormatError::io(std::io::Error::from(e)).at_path(&path)
        })?;
        // Each hidden part is one that the glob says is hidden.
        if hidden(&path) == told {
            paths.push(path);
        }
    }
    sort(&mut paths);
    Ok(paths)
}

/// The text without `.` components and doubled separators, as listed paths have none.
fn without_dots(text: &str) -> String {
    let clean: PathBuf = Path::new(text).components().filter(|c| *c != Component::CurDir).collect();
    clean.to_str().map_or_else(|| text.to_owned(), str::to_owned)
}

/// That nothing is there; of a pattern with the field that is in it `repeated`ly.
fn no_match(text: &str, repeated: Option<&str>) -> FormatError {
    // The folder that is looked in is the one before the first part that varies.
    let fixed: PathBuf = Path::new(text)
        .components()
        .take_while(|c| c.as_os_str().to_str().is_some_and(|c| !is_glob(c) && !is_pattern(c)))
        .collect();
    let (folder, shown) = match fixed.as_os_str().is_empty() {
        true => (Path::new("."), "the current folder".to_owned()),
        false => {
            (fixed.as_path(), format!("{}/", fixed.display().to_string().trim_end_matches('/')))
        }
    };
    let found = match std::fs::read_dir(folder) {
        Ok(entries) => match entries.count() {
            0 => "the folder is empty".to_owned(),
            1 => "one entry there, which does not match".to_owned(),
            n => format!("{n} entries there, none matches"),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            "the folder does not exist".to_owned()
        }
        Err(e) => e.to_string(),
    };
    let mut help = format!("looked in {shown} ({found})");
    if let Some(name) = repeated {
        help += &format!(
            "\n  `{name}` is the same text wherever it stands: give another one another name"
        );
    }
    FormatError::new(ErrorKind::NotFound, format!("no file matches {text}")).help(help)
}

/// A piece of a pattern.
#[derive(Debug, PartialEq)]
enum Piece {
    Literal(String),
    /// One character or more of one path component: the field with this number.
    Text(usize),
    /// Decimal digits, at least so many: the field with this number.
    Number(usize, usize),
    /// `*` of a glob.
    Any,
    /// `?` of a glob.
    One,
}

/// A pattern taken apart.
#[derive(Debug)]
pub(crate) struct Pattern {
    pieces: Vec<Piece>,
    names: Vec<String>,
}

impl Pattern {
    /// The names of the fields.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The name with this number in each field; `None` of a pattern that is a glob as well.
    pub(crate) fn render(&self, numbers: &[u64]) -> Option<String> {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) => Some(text.clone()),
            Piece::Text(field) => Some(numbers.get(*field)?.to_string()),
            Piece::Number(field, width) => Some(format!("{:0width$}", numbers.get(*field)?)),
            Piece::Any | Piece::One => None,
        };
        self.pieces.iter().map(piece).collect()
    }

    /// Whether two different places along axes of these `lengths`, one a field, never have the
    /// same name. Fields that nothing but digits keeps apart run into each other, unless all of
    /// them but one have a fixed number of digits.
    pub(crate) fn tells_apart(&self, lengths: &[u64]) -> bool {
        let mut of_any_width = 0;
        self.pieces.iter().all(|piece| {
            let (field, width) = match piece {
                Piece::Literal(text) => {
                    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
                        of_any_width = 0;
                    }
                    return true;
                }
                Piece::Text(field) => (*field, 1),
                Piece::Number(field, width) => (*field, *width),
                Piece::Any | Piece::One => return false,
            };
            let last = lengths.get(field).map_or(u64::MAX, |len| len.saturating_sub(1));
            of_any_width += usize::from(last.to_string().len() > width);
            of_any_width <= 1
        })
    }

    /// A field that stands there more than once.
    fn repeated(&self) -> Option<&str> {
        let mut seen = BTreeSet::new();
        self.pieces.iter().find_map(|piece| match piece {
            Piece::Text(field) | Piece::Number(field, _) if !seen.insert(*field) => {
                self.names.get(*field).map(String::as_str)
            }
            _ => None,
        })
    }

    /// Takes a text apart.
    pub(crate) fn parse(text: &str) -> Result<Pattern> {
        let invalid = |what: String| {
            FormatError::new(ErrorKind::Invalid, what).at(text).help(
                "a field is {name} for text, {name:d} for an integer, {name:03d} for one of three digits or more",
            )
        };
        let mut pattern = Pattern { pieces: Vec::new(), names: Vec::new() };
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let end = match next {
                '{' => {
                    let close =
                        rest.find('}').ok_or_else(|| invalid("a `{` is not closed".into()))?;
                    let field = &rest[1..close];
                    let piece = pattern.field(field);
                    pattern
                        .pieces
                        .push(piece.ok_or_else(|| invalid(format!("{{{field}}} is not a field")))?);
                    close + 1
                }
                '*' | '?' => {
                    pattern.pieces.push(if next == '*' { Piece::Any } else { Piece::One });
                    1
                }
                _ => {
                    let end = rest.find(['{', '*', '?']).unwrap_or(rest.len());
                    pattern.pieces.push(Piece::Literal(rest[..end].to_owned()));
                    end
                }
            };
            rest = &rest[end..];
        }
        Ok(pattern)
    }

    fn field(&mut self, text: &str) -> Option<Piece> {
        let (name, kind) = text.split_once(':').map_or((text, None), |(n, k)| (n, Some(k)));
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !is_name {
            return None;
        }
        let index = self.names.iter().position(|n| n == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        match kind {
            None | Some("s") => Some(Piece::Text(index)),
            Some("d") => Some(Piece::Number(index, 1)),
            Some(kind) => {
                let width: usize = kind.strip_suffix('d')?.strip_prefix('0')?.parse().ok()?;
                (1..=20).contains(&width).then_some(Piece::Number(index, width))
            }
        }
    }

    /// A glob that finds at least the files that match.
    fn glob(&self) -> String {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => Glob::escape(text),
                Piece::Text(_) | Piece::Any => "*".to_owned(),
                Piece::Number(..) => "[0-9]*".to_owned(),
                Piece::One => "?".to_owned(),
            })
            .collect::<String>()
            // Two stars in a row mean something else to a glob.
            .replace("**", "*")
    }

    /// Whether fields appear as numbers.
    fn is_number(&self, field: usize) -> bool {
        self.pieces.iter().any(|p| matches!(p, Piece::Number(f, _) if *f == field))
    }

    /// What the fields say in `text`, `None` if it does not match.
    fn matches<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        let mut values = vec![None; self.names.len()];
        match_pieces(&self.pieces, text, &mut values)
            .then(|| values.into_iter().flatten().collect())
    }
}

/// Matches by trying: text as short as possible, numbers as long as possible.
fn match_pieces<'t>(pieces: &[Piece], text: &'t str, values: &mut Vec<Option<&'t str>>) -> bool {
    let Some((piece, pieces)) = pieces.split_first() else { return text.is_empty() };
    let component = text.find('/').unwrap_or(text.len());
    let ends = text[..component].char_indices().map(|(i, c)| i + c.len_utf8());
    let field = |field: usize, end: usize, values: &mut Vec<Option<&'t str>>| {
        let before = values[field];
        let (value, rest) = text.split_at(end);
        if before.is_some_and(|before| before != value) {
            return false;
        }
        values[field] = Some(value);
        let matched = match_pieces(pieces, rest, values);
        if !matched {
            values[field] = before;
        }
        matched
    };
    match piece {
        Piece::Literal(literal) => text
            .strip_prefix(literal.as_str())
            .is_some_and(|rest| match_pieces(pieces, rest, values)),
        Piece::One => ends.take(1).any(|end| match_pieces(pieces, &text[end..], values)),
        Piece::Any => {
            std::iter::once(0).chain(ends).any(|end| match_pieces(pieces, &text[end..], values))
        }
        Piece::Text(index) => ends.into_iter().any(|end| field(*index, end, values)),
        Piece::Number(index, width) => {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            (*width..=digits).rev().any(|end| {
                // Padded to a width, a longer number has no zero in front.
                let padded = *width == 1 || end == *width || !text.starts_with('0');
                padded && text[..end].parse::<u64>().is_ok() && field(*index, end, values)
            })
        }
    }
}

/// The files of a pattern with named fields: one leading axis a field.
///
/// # Errors
/// If the pattern is malformed, no file matches, or a combination of labels is the name of
/// several files or, unless `holes` are allowed, of none.
pub(crate) fn expand(text: &str, holes: bool) -> Result<FileList> {
    let clean = without_dots(text);
    let pattern = Pattern::parse(&clean)?;
    let found = matches(text, &pattern.glob())?;
    let named: Vec<(&PathBuf, Vec<&str>)> =
        found.iter().filter_map(|path| Some((path, pattern.matches(path.to_str()?)?))).collect();
    if named.is_empty() {
        return Err(no_match(text, pattern.repeated()));
    }
    let fields: Vec<Field> = (0..pattern.names.len())
        .map(|field| {
            let values = named.iter().map(|(_, values)| values[field]);
            Field {
                name: pattern.names[field].clone(),
                labels: labels(values, pattern.is_number(field)),
            }
        })
        .collect();
    let positions: Vec<HashMap<&str, usize>> =
        fields.iter().map(|f| positions(&f.labels)).collect();
    let files: Vec<(PathBuf, Vec<usize>)> = named
        .iter()
        .map(|(path, values)| {
            let positions = values.iter().zip(&fields).zip(&positions);
            // Every value is a label: the labels were made of them.
            let position = |((value, field), positions): (
                (&&str, &Field),
                &HashMap<&str, usize>,
            )| {
                match &field.labels {
                    Labels::Text(_) => positions.get(*value).copied(),
                    Labels::Numbers(numbers) => numbers.binary_search(&value.parse().ok()?).ok(),
                }
            };
            ((*path).clone(), positions.filter_map(position).collect())
        })
        .collect();
    drop(positions);
    arrange(text, fields, files, holes)
}

/// The distinct values of a field, in order.
fn labels<'t>(values: impl Iterator<Item = &'t str>, number: bool) -> Labels {
    if number {
        let numbers: BTreeSet<u64> = values.filter_map(|value| value.parse().ok()).collect();
        return Labels::Numbers(numbers.into_iter().collect());
    }
    text_labels(values)
}

/// Where each name is along its axis; numbers are found by their order instead.
fn positions(labels: &Labels) -> HashMap<&str, usize> {
    match labels {
        Labels::Text(labels) => labels.iter().enumerate().map(|(i, l)| (&**l, i)).collect(),
        Labels::Numbers(_) => HashMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        dir
    }

    fn names(dir: &tempfile::TempDir, list: &FileList) -> Vec<String> {
        let name = |p: &Option<PathBuf>| match p {
            Some(p) => p.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned(),
            None => "-".to_owned(),
        };
        list.paths.iter().map(name).collect()
    }

    fn expanded(dir: &tempfile::TempDir, pattern: &str) -> Result<FileList> {
        expand(&format!("{}/{pattern}", dir.path().display()), false)
    }

    #[test]
    fn patterns_match_as_the_table_says() {
        for (pattern, text, expected) in [
            ("{stokes}_{raster:d}.fits", "Q_0017.fits", Some(vec!["Q", "0017"])),
            ("{stokes}_{raster:d}.fits", "Q_left_17.fits", Some(vec!["Q_left", "17"])),
            ("{stokes}_{raster:d}.fits", "Q_17b.fits", None),
            ("{stokes}_{raster:d}.fits", "_17.fits", None),
            ("{n:03d}.h5", "017.h5", Some(vec!["017"])),
            ("{n:03d}.h5", "1017.h5", Some(vec!["1017"])),
            ("{n:03d}.h5", "17.h5", None),
            ("{n:03d}.h5", "0017.h5", None),
            ("{night}/{n:d}.h5", "7/8.h5", Some(vec!["7", "8"])),
            ("{night}/{n:d}.h5", "7/6/8.h5", None),
            ("{n:d}/{n:d}.h5", "7/7.h5", Some(vec!["7"])),
            ("{n:d}/{n:d}.h5", "7/8.h5", None),
            ("x*_{n:d}?.h5", "xyz_12a.h5", Some(vec!["12"])),
            ("{n:d}.h5", "99999999999999999999999.h5", None),
            ("{a}.é", "ü.é", Some(vec!["ü"])),
        ] {
            assert_eq!(
                Pattern::parse(pattern).unwrap().matches(text),
                expected,
                "{pattern} {text}"
            );
        }
        for pattern in ["{", "a{b", "{}", "{a b}", "{a:x}", "{a:3d}", "{a:00d}", "{a:099d}"] {
            assert_eq!(
                Pattern::parse(pattern).unwrap_err().kind(),
                ErrorKind::Invalid,
                "{pattern}"
            );
        }
    }

    #[test]
    fn fields_that_run_into_each_other_are_found_out() {
        for (pattern, lengths, apart) in [
            ("{i}{j}.fits", &[12, 12][..], false),
            ("{i}{j}.fits", &[12, 10], true),
            ("{i}0{j}.fits", &[12, 12], false),
            ("{i}_{j}.fits", &[1200, 1200], true),
            ("{i:02d}{j:02d}.fits", &[100, 1000], true),
            ("{i:02d}{j:02d}.fits", &[101, 101], false),
            ("{i}{j}x{k}{l}", &[9, 99, 99, 9], true),
            ("{i:d}", &[u64::MAX], true),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            assert_eq!(pattern.tells_apart(lengths), apart, "{pattern:?} {lengths:?}");
        }
    }

    #[test]
    fn a_field_is_an_axis_and_stokes_has_its_own_order() {
        let files: Vec<String> = ["V", "U", "Q", "I"]
            .iter()
            .flat_map(|s| [10, 9].map(|r| format!("{s}_{r}.fits")))
            .collect();
        let files: Vec<&str> =
            files.iter().map(String::as_str).chain([".I_11.fits", "log"]).collect();
        let dir = folder(&files);
        let list = expanded(&dir, "{stokes}_{raster:d}.fits").unwrap();
        assert_eq!(names(&dir, &list)[..3], ["I_9.fits", "I_10.fits", "Q_9.fits"]);
        assert_eq!(list.fields[0].labels.to_string(), "I Q U V");
        assert_eq!(list.fields[1].labels, Labels::Numbers([9, 10].into()));

        let turned = expanded(&dir, "./{stokes}_{raster:d}.fits").unwrap();
        assert_eq!(turned.paths, list.paths);
    }

    #[test]
    fn combinations_must_be_complete() {
        let dir = folder(&["a_1.x", "a_2.x", "b_1.x"]);
        let at = dir.path().display().to_string();
        let error = expanded(&dir, "{s}_{n:d}.x").unwrap_err().to_string();
        let text = format!("{at}/{{s}}_{{n:d}}.x: 1 of 4 combinations has no file: s b, n 2\n");
        assert!(error.starts_with(&text), "{error}");
        let list = expand(&format!("{at}/{{s}}_{{n:d}}.x"), true).unwrap();
        assert_eq!(names(&dir, &list), ["a_1.x", "a_2.x", "b_1.x", "-"]);
        let dir = folder(&["a_1.x", "a_01.x"]);
        let at = dir.path().display().to_string();
        let error = expanded(&dir, "{s}_{n:d}.x").unwrap_err();
        assert_eq!(
            error.to_string().lines().next().unwrap(),
            format!(
                "{at}/{{s}}_{{n:d}}.x: s a, n 1 is the place of two files, {at}/a_1.x and {at}/a_01.x"
            )
        );
    }

    #[test]
    fn globs_sort_naturally_and_skip_hidden_files() {
        let dir = folder(&["f10.x", "f9.x", ".f1.x.part", ".f3.x", "sub/f1.x"]);
        let list = glob(&format!("{}/*.x", dir.path().display())).unwrap();
        assert_eq!(names(&dir, &list), ["f9.x", "f10.x"]);
        let list = glob(&format!("{}/**/*.x", dir.path().display())).unwrap();
        assert_eq!(list.paths.len(), 3);
        let list = glob(&format!("{}/.*.x", dir.path().display())).unwrap();
        assert_eq!(names(&dir, &list), [".f3.x"]);
    }

    #[test]
    fn names_that_are_no_text_are_left_alone() {
        let dir = folder(&["f1.x"]);
        let name = std::os::unix::ffi::OsStrExt::from_bytes(b"f\xff.x");
        std::fs::write(dir.path().join::<&std::ffi::OsStr>(name), "").unwrap();
        let list = glob(&format!("{}/*.x", dir.path().display())).unwrap();
        assert_eq!(names(&dir, &list), ["f1.x"]);
    }

    #[test]
    fn what_matches_nothing_says_where_was_looked() {
        let error = glob("missing/*.fits").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no file matches missing/*.fits\n  looked in missing/ (the folder does not exist)"
        );
        let dir = folder(&["a_b.x"]);
        let error = expanded(&dir, "{typ}_{typ}.x").unwrap_err().to_string();
        let told = "\n  `typ` is the same text wherever it stands: give another one another name";
        assert!(error.ends_with(told), "{error}");
        let dir = folder(&["a", "b"]);
        let at = dir.path().display().to_string();
        assert_eq!(
            expanded(&dir, "{n:d}.fits").unwrap_err().to_string(),
            format!(
                "no file matches {at}/{{n:d}}.fits\n  looked in {at}/ (2 entries there, none matches)"
            )
        );
    }
}
