//! A page with a card for each array: a table of its sizes, and a drawing of its chunks, as
//! dask's notebooks show arrays. It needs nothing beside itself.

use super::{Found, Is, entry::Entry};
use crate::output::tuple;
use freeboard::{formats::AxisGrid, memory::format_bytes};
use std::fmt::Write as _;

/// The longest side of a drawing, in pixels.
const SIDE: f64 = 140.0;
/// The shortest, however short the axis is beside the others.
const LEAST: f64 = 14.0;
/// The most lines drawn along an axis: more would be a grey area.
const LINES: u64 = 32;

const STYLE: &str = "\
body{font:14px/1.4 system-ui,sans-serif;margin:2em;color:#222}
.card{display:flex;flex-wrap:wrap;gap:2em;align-items:center;border:1px solid #ddd;border-radius:6px;padding:1em;margin:1em 0}
h1{font-size:1.2em}h2{font-size:1em;margin:0 0 .5em;width:100%;overflow-wrap:anywhere}
th{text-align:left;font-weight:600;padding:.1em 1em .1em 0}td{padding:.1em 1em .1em 0}
svg text{font:11px system-ui,sans-serif;fill:#444}details{width:100%}pre{overflow:auto}";

/// Text where markup would be read.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The whole page.
pub(super) fn page(location: &str, found: &Found) -> String {
    let mut body = String::new();
    match found {
        Found::One(entry) => body += &card(entry),
        Found::Many(lines) => {
            for line in lines {
                let title = line.title.as_ref().map(|t| format!(" {t}")).unwrap_or_default();
                let head = escape(&format!("{}{title}", line.item));
                body += &match &line.is {
                    Is::Array(entry) => card(entry),
                    Is::Other(what) => {
                        format!("<div class=\"card\"><h2>{head}</h2>{}</div>\n", escape(what))
                    }
                    Is::Unreadable { .. } => format!(
                        "<div class=\"card\"><h2>{head}</h2>{}</div>\n",
                        escape(&line.refusal().unwrap_or_default())
                    ),
                };
            }
        }
    }
    let title = escape(location);
    format!(
        "<!doctype html>\n<html><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n{body}</body></html>\n"
    )
}

fn card(entry: &Entry) -> String {
    let meta = &entry.meta;
    let bytes = |bytes: u64| format_bytes(bytes).to_string();
    let on_disk = entry.storage.bytes.map_or("unknown".to_owned(), bytes);
    let rows = [
        ("", "Array".to_owned(), "Chunk".to_owned()),
        ("Bytes", bytes(meta.bytes().unwrap_or(u64::MAX)), bytes(meta.max_chunk_bytes())),
        ("Shape", tuple(&meta.shape()), tuple(&meta.grid.max_chunk())),
        ("Count", format!("{} files", entry.storage.files), format!("{} chunks", meta.grid.len())),
        ("Dtype", meta.dtype.name().to_owned(), entry.axes().unwrap_or_default()),
        ("On disk", on_disk, entry.lies()),
    ];
    let mut table = String::from("<table>");
    for (name, array, chunk) in rows {
        let _ = write!(
            table,
            "<tr><th>{name}</th><td>{}</td><td>{}</td></tr>",
            escape(&array),
            escape(&chunk)
        );
    }
    table += "</table>";
    let cards: Vec<String> = entry.cards().map(|card| escape(&card)).collect();
    let cards = match cards.is_empty() {
        true => String::new(),
        false => format!(
            "<details><summary>{} cards or attributes</summary><pre>{}</pre></details>",
            cards.len(),
            cards.join("\n")
        ),
    };
    format!(
        "<div class=\"card\"><h2>{}</h2>{table}\n{}{cards}</div>\n",
        escape(&entry.location),
        drawing(meta.grid.axes())
    )
}

/// Where chunks end along an axis that is drawn `length` pixels long; few enough to be seen.
fn cuts(axis: &AxisGrid, length: f64) -> Vec<f64> {
    let every = axis.count().div_ceil(LINES).max(1) as usize;
    let bounds: Vec<u64> = (0..axis.count()).step_by(every).map(|i| axis.bounds(i).start).collect();
    let scale = length / axis.len().max(1) as f64;
    bounds.into_iter().map(|at| at as f64 * scale).chain([length]).collect()
}

/// The last three axes as a box seen from the front left, or fewer as a rectangle; axes
/// before them are told in words.
fn drawing(axes: &[AxisGrid]) -> String {
    let drawn = &axes[axes.len().saturating_sub(3)..];
    let longest = drawn.iter().map(AxisGrid::len).max().unwrap_or(0).max(1) as f64;
    // Lengths are drawn by their roots, or a long axis would leave no room for the others.
    let side = |axis: &AxisGrid| (SIDE * (axis.len() as f64 / longest).sqrt()).max(LEAST);
    let unit = AxisGrid::whole(1);
    let (depth, height, width) = match drawn {
        [depth, height, width] => (Some(depth), height, width),
        [height, width] => (None, height, width),
        [width] => (None, &unit, width),
        _ => (None, &unit, &unit),
    };
    let (h, w) = (if drawn.len() < 2 { LEAST } else { side(height) }, side(width));
    let slant = depth.map_or(0.0, |axis| side(axis) * 0.6);
    let (left, top) = (10.0, 10.0);
    let mut lines = String::new();
    let mut line = |x1: f64, y1: f64, x2: f64, y2: f64| {
        let _ = write!(
            lines,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            left + x1,
            top + y1,
            left + x2,
            top + y2
        );
    };
    // The front face, which lies behind by `slant` to the right and below.
    for y in cuts(height, h) {
        line(slant, slant + y, slant + w, slant + y);
        if depth.is_some() {
            line(0.0, y, slant, slant + y);
        }
    }
    for x in cuts(width, w) {
        line(slant + x, slant, slant + x, slant + h);
        if depth.is_some() {
            line(x, 0.0, slant + x, slant);
        }
    }
    for z in depth.map(|axis| cuts(axis, slant)).unwrap_or_default() {
        line(z, z, z + w, z);
        line(z, z, z, z + h);
    }
    let text =
        |x: f64, y: f64, text: String| format!("<text x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
    let mut words =
        text(left + slant + w / 2.0 - 8.0, top + slant + h + 16.0, width.len().to_string());
    if drawn.len() > 1 {
        words +=
            &text(left + slant + w + 6.0, top + slant + h / 2.0 + 4.0, height.len().to_string());
    }
    if let Some(depth) = depth {
        words += &text(left, top + h + slant + 4.0, depth.len().to_string());
    }
    let outer: Vec<String> = axes[..axes.len() - drawn.len()]
        .iter()
        .map(|axis| format!("{} (in {})", axis.len(), axis.count()))
        .collect();
    let (wide, high) = (left + slant + w + 60.0, top + slant + h + 24.0);
    let outer = match outer.is_empty() {
        true => String::new(),
        false => format!("<div>{} × </div>", outer.join(" × ")),
    };
    format!(
        "{outer}<svg width=\"{wide:.0}\" height=\"{high:.0}\" stroke=\"#555\" fill=\"#ece0d1\">\
         <rect x=\"{:.1}\" y=\"{:.1}\" width=\"{w:.1}\" height=\"{h:.1}\"/>{lines}\
         <g stroke=\"none\">{words}</g></svg>\n",
        left + slant,
        top + slant
    )
}
