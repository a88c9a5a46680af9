//! What a file or folder holds, as a tree: groups by the slashes in names.

use super::{Is, Line};

/// A row of the tree: what is left of the array's description, and the line that it is of,
/// unless it is a group.
struct Row<'a> {
    label: String,
    /// The prefix of further rows that belong to this one.
    below: String,
    line: Option<&'a Line>,
}

/// The tree beneath the location.
pub(super) fn to_text(location: &str, lines: &[Line], cards: bool) -> String {
    let format = lines.iter().find_map(|line| match &line.is {
        Is::Array(entry) => Some(entry.storage.format.as_str()),
        _ => None,
    });
    let mut text = match format {
        Some(format) => format!("{location}   {format}\n"),
        None => format!("{location}\n"),
    };
    let paths: Vec<(Vec<&str>, &Line)> = lines
        .iter()
        .map(|line| (line.item.split('/').filter(|part| !part.is_empty()).collect(), line))
        .collect();
    let mut rows = Vec::new();
    grow(&paths, 0, "", &mut rows);
    let chars = |text: &str| text.chars().count();
    let labels = rows.iter().map(|row| chars(&row.label)).max().unwrap_or(0);
    let arrays = |row: &Row<'_>| match row.line.map(|line| &line.is) {
        Some(Is::Array(entry)) => chars(&entry.dtype_and_shape()),
        _ => 0,
    };
    let shapes = rows.iter().map(arrays).max().unwrap_or(0);
    for Row { label, below, line } in &rows {
        let is = match line.map(|line| &line.is) {
            None => String::new(),
            Some(Is::Other(what)) => what.clone(),
            Some(Is::Unreadable { .. }) => {
                let refusal = line.and_then(Line::refusal).unwrap_or_default();
                refusal.lines().next().unwrap_or_default().to_owned()
            }
            Some(Is::Array(entry)) => {
                let codec = match entry.storage.codec.as_str() {
                    "" => String::new(),
                    codec => format!("{codec} · "),
                };
                let what = entry.dtype_and_shape();
                format!("{what:<shapes$}   {codec}{}   {}", entry.chunks(), entry.size())
            }
        };
        text += format!("{label:<labels$}   {is}").trim_end();
        text.push('\n');
        if let (true, Some(Is::Array(entry))) = (cards, line.map(|line| &line.is)) {
            let more = entry.axes().into_iter().chain(entry.cards());
            text.extend(more.map(|card| format!("{below}  {card}\n")));
        }
    }
    text
}

/// The rows of `paths`, which agree in their first `depth` parts, behind `prefix`.
fn grow<'a>(
    paths: &[(Vec<&'a str>, &'a Line)],
    depth: usize,
    prefix: &str,
    rows: &mut Vec<Row<'a>>,
) {
    // Neighbours that go on alike are of one group; the order of the file is kept.
    let groups: Vec<&[(Vec<&str>, &Line)]> = paths
        .chunk_by(|(a, _), (b, _)| {
            a.len() > depth + 1 && a.get(depth) == b.get(depth) && b.len() > depth + 1
        })
        .collect();
    for (i, group) in groups.iter().enumerate() {
        let last = i + 1 == groups.len();
        let (branch, trunk) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let Some((path, line)) = group.first() else { continue };
        let name = path.get(depth).copied().unwrap_or("/");
        let below = format!("{prefix}{trunk}");
        if path.len() > depth + 1 {
            rows.push(Row {
                label: format!("{prefix}{branch}{name}/"),
                below: below.clone(),
                line: None,
            });
            grow(group, depth + 1, &below, rows);
        } else {
            let title = line.title.as_ref().map(|title| format!(" {title}")).unwrap_or_default();
            rows.push(Row {
                label: format!("{prefix}{branch}{name}{title}"),
                below,
                line: Some(line),
            });
        }
    }
}
