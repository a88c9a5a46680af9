//! The layers of both crates: a module imports only from its own layer or lower ones.
//!
//! The layers are those that `src/README.md` and `formats/README.md` tell in their tables (a
//! row is a number and the modules of that layer, in backquotes); the imports are all paths
//! that begin with `crate::` or lead there by `super::`, tests left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The number of the layer of each module of a crate.
type Layers = BTreeMap<String, u32>;

/// Reads the table of layers.
fn layers(readme: &str) -> Layers {
    let mut layers = Layers::new();
    for line in readme.lines().filter(|line| line.starts_with('|')) {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let (Some(number), Some(modules)) = (cells.next(), cells.next()) else { continue };
        let Ok(number) = number.parse() else { continue };
        for module in modules.split('`').skip(1).step_by(2) {
            layers.insert(module.trim_end_matches('/').to_owned(), number);
        }
    }
    layers
}

/// The source text without comments and without the tests at its end.
fn code(text: &str) -> String {
    const TESTS: &str = "#[cfg(test)]\nmod ";
    let end = text.match_indices(TESTS).find(|(at, _)| {
        // A block, and not a file of its own.
        text[at + TESTS.len()..].lines().next().is_some_and(|line| line.contains('{'))
    });
    let text = &text[..end.map_or(text.len(), |(at, _)| at)];
    let mut code = String::new();
    for line in text.lines() {
        code.push_str(line.split("//").next().unwrap_or_default());
        code.push('\n');
    }
    code
}

/// The names at the head of what follows `crate::`: one, or those in braces.
fn heads(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.trim_start().strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The modules and names of the crate's root that a file `depth` modules deep refers to.
fn imports(code: &str, depth: usize) -> BTreeSet<String> {
    let climb = "super::".repeat(depth);
    let mut found = BTreeSet::new();
    for root in ["crate::", &climb] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            // Not `$crate::`, and not the tail of a longer climb or name.
            if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | ':')) {
                continue;
            }
            found.extend(heads(&code[at + root.len()..]));
        }
    }
    found.remove("super");
    found
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// Every import that goes upwards, and every module that the table does not name.
fn violations(crate_folder: &Path) -> Vec<String> {
    let source = crate_folder.join("src");
    let readme = match crate_folder.ends_with("formats") {
        true => crate_folder.join("README.md"),
        false => source.join("README.md"),
    };
    let layers = layers(&fs::read_to_string(readme).unwrap());
    assert!(layers.len() > 5, "the table of layers was not found");

    // What the root hands on is where it comes from.
    let root = code(&fs::read_to_string(source.join("lib.rs")).unwrap());
    let mut origin: BTreeMap<String, String> = BTreeMap::new();
    for statement in root.split(';').filter_map(|s| s.trim().strip_prefix("pub use ")) {
        if let Some((module, names)) = statement.split_once("::") {
            origin.extend(heads(names).into_iter().map(|name| (name, module.to_owned())));
        }
    }

    let (mut files, mut wrong) = (Vec::new(), Vec::new());
    sources(&source, &mut files);
    files.sort();
    for file in files {
        let inside = file.strip_prefix(&source).unwrap();
        let parts: Vec<&str> = inside.iter().filter_map(|part| part.to_str()).collect();
        let module = parts[0].trim_end_matches(".rs");
        let last = parts[parts.len() - 1];
        if matches!(module, "lib" | "bin" | "tests")
            || last == "tests.rs"
            || parts.contains(&"tests")
        {
            continue;
        }
        let Some(own) = layers.get(module) else {
            wrong.push(format!("{module}: in no layer of the table"));
            continue;
        };
        let depth = parts.len() - usize::from(last == "mod.rs");
        for name in imports(&code(&fs::read_to_string(&file).unwrap()), depth) {
            let target = origin.get(&name).unwrap_or(&name);
            if layers.get(target).is_some_and(|layer| layer > own) {
                wrong.push(format!("{} (layer {own}) imports {target}", file.display()));
            }
            let adapters = ["fits", "hdf5", "npy", "zarr"];
            if adapters.contains(&module) && adapters.contains(&target.as_str()) && target != module
            {
                wrong.push(format!("{}: an adapter imports {target}", file.display()));
            }
        }
    }
    wrong
}

#[test]
fn modules_import_from_lower_layers_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = violations(&root.join("formats"));
    wrong.extend(violations(root));
    assert!(wrong.is_empty(), "imports that go upwards:\n{}", wrong.join("\n"));
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "#[cfg(test)]\nmod tests;\nuse crate::{\n    error::{Error, Result},\n    plan,\n};\nuse super::super::run::X;\n\
                // use crate::comment;\nlet x = crate::kernel::f($crate::no::g());\n\
                #[cfg(test)]\nmod tests { use crate::session; }";
    let found: Vec<String> = imports(&code(text), 2).into_iter().collect();
    assert_eq!(found, ["error", "kernel", "plan", "run"]);
    let table =
        "| layer | modules |\n|---|---|\n| 0 | `error` `event` | x |\n| 1 | `memory/` | y |";
    assert_eq!(layers(table).into_values().collect::<Vec<_>>(), [0, 0, 1]);
}
