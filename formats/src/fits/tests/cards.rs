//! Cards of every kind, inherited ones, and images of 1 to 8 axes, against what astropy read: see
//! `data/fits/make_cards.py`.

use super::*;

const FILE: &str = "cards.fits.gz";

/// What astropy read in an extension.
struct Told {
    item: String,
    dtype: DType,
    shape: Vec<u64>,
    bytes: Vec<u8>,
    cards: Attributes,
}

fn told() -> Vec<Told> {
    let told: Vec<Value> =
        serde_json::from_slice(&std::fs::read(fixture("cards.json")).unwrap()).unwrap();
    let of = |entry: &Value| {
        let dtype = DType::from_name(entry["dtype"].as_str().unwrap()).unwrap();
        Told {
            item: entry["item"].as_str().unwrap().to_owned(),
            dtype,
            shape: serde_json::from_value(entry["shape"].clone()).unwrap(),
            bytes: elements(dtype, entry["bytes"].as_str().unwrap()),
            cards: serde_json::from_value(entry["cards"].clone()).unwrap(),
        }
    };
    told.iter().map(of).collect()
}

/// Whether two values of cards are the same: `3` of one reader is `3.0` of another.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        _ => one == other,
    }
}

fn assert_same(found: &Attributes, told: &Attributes, what: &str) {
    for (name, value) in told {
        let found = found.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        let Some((_, found)) = found else { panic!("{what}: no card {name}") };
        assert!(same(found, value), "{what}: {name} is {found}, not {value}");
    }
    let known = |name: &str| told.keys().any(|key| key.eq_ignore_ascii_case(name));
    let more: Vec<_> =
        found.keys().filter(|name| !known(name) && !table::is_structural(name)).collect();
    assert!(more.is_empty(), "{what}: {more:?} too");
}

#[test]
fn elements_and_cards_are_astropys() {
    let path = fixture(FILE);
    let all = told();
    assert_eq!(all.len(), 13);
    for told in &all {
        let source = Fits.open(&path, Some(&told.item)).unwrap();
        let meta = source.meta();
        assert_eq!((meta.dtype, &meta.shape()[..]), (told.dtype, &told.shape[..]), "{}", told.item);
        let bytes = read(&*source, &Region::whole(&told.shape)).unwrap();
        assert_eq!(bytes, told.bytes, "{}", told.item);
        assert_same(&meta.attributes, &told.cards, &told.item);
        let cards = Fits.attributes(&path, Some(&told.item)).unwrap();
        assert_same(&cards, &told.cards, &told.item);
    }
}

#[test]
fn extensions_inherit_where_they_say_so() {
    let path = fixture(FILE);
    let exposure = |item: &str| {
        let cards = Fits.open(&path, Some(item)).unwrap().meta().attributes.clone();
        (cards.get("EXPTIME").cloned(), cards.get("ESO TEL ALT").cloned())
    };
    // Its own card counts where both have one.
    assert_eq!(exposure("sci,1"), (Some(json!(12.5)), Some(json!(47.25))));
    assert_eq!(exposure("SCI,2"), (Some(json!(30.0)), Some(json!(47.25))));
    assert_eq!(exposure("ERR"), (Some(json!(12.5)), None));
    assert_eq!(exposure("ERR,2"), (None, None));
    assert_eq!(Fits.open(&path, Some("SCI,4")).unwrap_err().kind(), ErrorKind::NotFound);
    // What names the primary HDU, and its history, is its own.
    let first = Fits.open(&path, None).unwrap().meta().attributes.clone();
    assert_eq!(first["EXTNAME"], "SCI");
    assert!(!first.contains_key("HISTORY"));
}

/// A small file whose extensions all inherit a long header.
#[test]
fn what_is_inherited_is_bounded() {
    let card = |text: &str| format!("{text:80}");
    let block = |cards: &[&str]| {
        let mut text: String = cards.iter().map(|text| card(text)).collect();
        let len = text.len().next_multiple_of(header::BLOCK as usize);
        text.extend(std::iter::repeat_n(' ', len - text.len()));
        text
    };
    let empty = ["BITPIX  = 8", "NAXIS   = 0"];
    let mut primary: Vec<String> =
        [&["SIMPLE  = T"], &empty[..]].concat().iter().map(|c| card(c)).collect();
    primary.extend((0..30_000).map(|n| card(&format!("K{n:<7}= {n}"))));
    primary.push(card("END"));
    let mut file = block(&primary.iter().map(String::as_str).collect::<Vec<_>>());
    let extension = [&["XTENSION= 'IMAGE'"], &empty[..], &["INHERIT = T", "END"]].concat();
    file.extend(std::iter::repeat_n(block(&extension), 40));
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), file).unwrap();
    let error = Fits.contents(path.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains("28 extensions inherit"), "{error}");
}

#[test]
fn cards_that_are_written_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    for told in told() {
        let source = Fits.open(&fixture(FILE), Some(&told.item)).unwrap();
        let mut meta = source.meta().clone();
        let mut cards = Attributes::clone(&meta.attributes);
        cards.extend([
            ("MORE".to_owned(), json!("text & ".repeat(20) + "&")),
            ("ESO MORE".to_owned(), json!("text '& ".repeat(20) + "'&")),
            ("AMPER".to_owned(), json!("one &")),
        ]);
        meta.attributes = Arc::new(cards.clone());
        let path = folder.path().join(format!("{}.fits", told.item));
        written(&path, &meta, &told.bytes, &Fits::create(&path)).unwrap();
        let again = Fits.open(&path, None).unwrap();
        // A pair of numbers would be a complex one.
        let kept = cards.iter().filter(|(name, value)| {
            !value.is_array() || matches!(name.as_str(), "COMMENT" | "HISTORY")
        });
        let kept = kept.filter(|(name, _)| !table::is_structural(name));
        let kept: Attributes = kept.map(|(k, v)| (k.clone(), v.clone())).collect();
        assert_same(&again.meta().attributes, &kept, &told.item);
    }
}
