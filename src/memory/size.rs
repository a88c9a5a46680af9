//! Sizes as people write and read them, and how much memory a session was given.

use super::budget::Machine;
use freeboard_formats::{ErrorKind, FormatError, Result};
use std::fmt;

/// 1024 bytes.
pub const KIB: u64 = 1 << 10;
/// 1024 KiB.
pub const MIB: u64 = 1 << 20;
/// 1024 MiB.
pub const GIB: u64 = 1 << 30;
/// 1024 GiB.
pub const TIB: u64 = 1 << 40;

/// The units that are understood, in lower case; the first four are what is printed.
const UNITS: [(&str, u64); 14] = [
    ("tib", TIB),
    ("gib", GIB),
    ("mib", MIB),
    ("kib", KIB),
    ("t", TIB),
    ("g", GIB),
    ("m", MIB),
    ("k", KIB),
    ("tb", 1_000_000_000_000),
    ("gb", 1_000_000_000),
    ("mb", 1_000_000),
    ("kb", 1_000),
    ("b", 1),
    ("", 1),
];

/// The bytes that `text` means: `4096`, `64K`, `512MiB`, `1.5 GB`. `KiB`, `MiB`, `GiB`, `TiB`
/// and the bare letters are powers of 1024; `KB`, `MB`, `GB`, `TB` are powers of 1000. Case
/// does not matter; a fraction of a byte is dropped.
///
/// # Errors
/// [`ErrorKind::Invalid`] if it is not a size, or one beyond `u64`; the help lists what is.
pub fn parse_bytes(text: &str) -> Result<u64> {
    bytes_of(text).ok_or_else(|| {
        FormatError::new(ErrorKind::Invalid, format!("{text:?} is not a size in bytes")).help(
            "write a number and a unit: 512MiB, 2GiB, 1.5GB, 64K or 4096 \
             (KiB, MiB, GiB, TiB, K, M, G, T: powers of 1024; KB, MB, GB, TB: powers of 1000)",
        )
    })
}

fn bytes_of(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let unit = u128::from(UNITS.iter().find(|(name, _)| *name == unit)?.1);
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    // In integers, so that 0.1GB is exact. Eighteen digits keep the product within 128 bits.
    if part.is_empty() || part.len() > 18 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole = u128::from(whole.parse::<u64>().ok()?) * unit;
    let part = part.parse::<u128>().ok()? * unit / 10_u128.pow(part.len() as u32);
    u64::try_from(whole + part).ok()
}

/// `bytes` for people, in the largest unit of which there is at least 0.9: `0.9 GiB`,
/// `61 MiB`, `2 GiB`, `512 B`.
pub fn format_bytes(bytes: u64) -> impl fmt::Display {
    Shown(bytes)
}

struct Shown(u64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        let large = |unit: u64| u128::from(bytes) * 10 >= u128::from(unit) * 9;
        let Some(&(_, unit)) = UNITS[..4].iter().find(|(_, unit)| large(*unit)) else {
            return write!(f, "{bytes} B");
        };
        let name = match unit {
            KIB => "KiB",
            MIB => "MiB",
            GIB => "GiB",
            _ => "TiB",
        };
        let value = bytes as f64 / unit as f64;
        // One decimal where it says something: below ten, unless it is whole.
        let decimals = usize::from(value < 9.95 && !bytes.is_multiple_of(unit));
        write!(f, "{value:.decimals$} {name}")
    }
}

/// How much memory the process may hold, as it was given: bytes, words, or a fraction of what
/// there is. Nothing is checked before [`Memory::resolve`].
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Memory(Given);

#[derive(Clone, Debug, PartialEq, Default)]
enum Given {
    #[default]
    Default,
    Bytes(u64),
    Text(String),
    Fraction(f64),
}

impl Memory {
    /// The least that a session accepts, in bytes: what the process itself takes, and room for
    /// a few chunks.
    pub const MIN: u64 = 96 * MIB;

    /// The default where neither a container's limit nor the machine's memory can be found out.
    const UNKNOWN: u64 = 2 * GIB;

    /// This many bytes.
    pub fn bytes(bytes: u64) -> Memory {
        Memory(Given::Bytes(bytes))
    }

    /// This part, above 0 and up to 1, of the container's limit, or of the machine's memory
    /// where there is no limit.
    pub fn fraction(part: f64) -> Memory {
        Memory(Given::Fraction(part))
    }

    /// The bytes of a size of something else than a session's memory: any, but not a fraction.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it is not a size.
    pub fn bytes_given(&self) -> Result<u64> {
        match &self.0 {
            Given::Bytes(bytes) => Ok(*bytes),
            Given::Text(text) => parse_bytes(text),
            Given::Default | Given::Fraction(_) => {
                Err(FormatError::new(ErrorKind::Invalid, "a size in bytes is needed here"))
            }
        }
    }

    /// The bytes that this means here.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it is not a size, is below [`Memory::MIN`], or is above the
    /// container's limit.
    pub fn resolve(&self) -> Result<u64> {
        self.resolve_on(&Machine::here())
    }

    /// The bytes that this means on `machine`.
    ///
    /// # Errors
    /// As [`Memory::resolve`].
    pub fn resolve_on(&self, machine: &Machine) -> Result<u64> {
        let invalid = |message: String| FormatError::new(ErrorKind::Invalid, message);
        let bytes = match &self.0 {
            Given::Default => match (machine.container, machine.memory) {
                (Some(limit), _) => limit,
                (None, Some(memory)) => memory / 2,
                (None, None) => Memory::UNKNOWN,
            },
            Given::Bytes(bytes) => *bytes,
            Given::Text(text) => parse_bytes(text)?,
            Given::Fraction(part) if *part > 0.0 && *part <= 1.0 => {
                let whole = machine.container.or(machine.memory).ok_or_else(|| {
                    invalid("the memory of this machine is not known".into())
                        .help("give the memory in bytes, such as 2GiB")
                })?;
                (whole as f64 * part) as u64
            }
            Given::Fraction(part) => {
                return Err(invalid(format!("{part} is not a fraction of the memory"))
                    .help("give a number above 0 and up to 1"));
            }
        };
        if let Some(limit) = machine.container.filter(|limit| bytes > *limit) {
            return Err(invalid(format!(
                "a memory of {} is more than the {} that the container allows",
                format_bytes(bytes),
                format_bytes(limit)
            ))
            .help("give less, or leave it out: the default is the container's limit"));
        }
        if bytes < Memory::MIN {
            return Err(invalid(format!(
                "a memory of {} is less than the minimum, {}",
                format_bytes(bytes),
                format_bytes(Memory::MIN)
            ))
            .help("the process itself needs about half of that minimum"));
        }
        Ok(bytes)
    }
}

impl From<u64> for Memory {
    fn from(bytes: u64) -> Memory {
        Memory::bytes(bytes)
    }
}

impl From<&str> for Memory {
    fn from(text: &str) -> Memory {
        Memory(Given::Text(text.to_owned()))
    }
}

impl From<String> for Memory {
    fn from(text: String) -> Memory {
        Memory(Given::Text(text))
    }
}

/// As it was given: `2GiB`, `50 % of the memory`.
impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Given::Default => f.write_str("the default memory"),
            Given::Bytes(bytes) => format_bytes(*bytes).fmt(f),
            Given::Text(text) => f.write_str(text),
            Given::Fraction(part) => write!(f, "{} % of the memory", part * 100.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let good: [(&str, u64); 16] = [
            ("4096", 4096),
            ("0", 0),
            ("64K", 64 * KIB),
            ("64k", 64 * KIB),
            ("2GiB", 2 * GIB),
            ("512MiB", 512 * MIB),
            ("1000MB", 1_000_000_000),
            ("1.5 GB", 1_500_000_000),
            (" 0.1 gb ", 100_000_000),
            ("1.5GiB", 3 * GIB / 2),
            ("3 t", 3 * TIB),
            ("7B", 7),
            ("0.3B", 0),
            ("10kb", 10_000),
            ("16777215TiB", 16_777_215 * TIB),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in good {
            assert_eq!(parse_bytes(text).unwrap(), bytes, "{text}");
        }
        let bad = [
            "",
            " ",
            "GiB",
            "-1",
            "+1",
            "1e9",
            "1.",
            ".5G",
            "1.2.3G",
            "1 G B",
            "1GiBs",
            "∞",
            "1 µB",
            "16777216TiB",
            "18446744073709551616",
            "0.1234567890123456789G",
            "1_000",
        ];
        for text in bad {
            let error = parse_bytes(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
            assert!(error.to_string().contains("512MiB"), "{error}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_unit_that_reads_best() {
        let table: [(u64, &str); 14] = [
            (0, "0 B"),
            (512, "512 B"),
            (921, "921 B"),
            (922, "0.9 KiB"),
            (KIB, "1 KiB"),
            (61 * MIB + 99, "61 MiB"),
            (2 * GIB, "2 GiB"),
            (2 * GIB + 1, "2.0 GiB"),
            (922 * MIB, "0.9 GiB"),
            (900 * MIB, "900 MiB"),
            (3 * GIB / 2, "1.5 GiB"),
            (10 * GIB - 1, "10 GiB"),
            (5 * TIB, "5 TiB"),
            (u64::MAX, "16777216 TiB"),
        ];
        for (bytes, text) in table {
            assert_eq!(format_bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn memory_is_given_in_many_ways() {
        fn given(memory: impl Into<Memory>) -> Memory {
            memory.into()
        }
        let machine = Machine { memory: Some(8 * GIB), container: None };
        let resolve = |memory: Memory| memory.resolve_on(&machine).unwrap();
        assert_eq!(resolve(given("2GiB")), 2 * GIB);
        assert_eq!(resolve(given(String::from("2GiB"))), 2 * GIB);
        assert_eq!(resolve(given(512 * MIB)), 512 * MIB);
        assert_eq!(resolve(given(1_000_000_000)), 1_000_000_000);
        assert_eq!(resolve(given(Memory::fraction(0.25))), 2 * GIB);
        assert_eq!(resolve(Memory::default()), 4 * GIB);
        let unknown = Machine::default();
        assert_eq!(Memory::default().resolve_on(&unknown).unwrap(), 2 * GIB);
        assert!(Memory::fraction(0.5).resolve_on(&unknown).is_err());
        for wrong in [given("much"), Memory::fraction(0.0), Memory::fraction(f64::NAN)] {
            assert_eq!(wrong.resolve_on(&machine).unwrap_err().kind(), ErrorKind::Invalid);
        }
    }

    #[test]
    fn memory_stays_between_the_minimum_and_the_container() {
        let machine = Machine { memory: Some(8 * GIB), container: Some(2 * GIB) };
        assert_eq!(Memory::default().resolve_on(&machine).unwrap(), 2 * GIB);
        assert_eq!(Memory::fraction(0.5).resolve_on(&machine).unwrap(), GIB);
        assert_eq!(Memory::from("2GiB").resolve_on(&machine).unwrap(), 2 * GIB);
        let error = Memory::from("3GiB").resolve_on(&machine).unwrap_err().to_string();
        assert!(error.contains("3 GiB") && error.contains("2 GiB"), "{error}");
        let error = Memory::from(95 * MIB).resolve_on(&machine).unwrap_err().to_string();
        assert!(error.contains("95 MiB") && error.contains("96 MiB"), "{error}");
        assert_eq!(Memory::from(96 * MIB).resolve_on(&machine).unwrap(), 96 * MIB);
    }

    #[test]
    fn this_machine_has_a_default() {
        assert!(Memory::default().resolve().unwrap() >= Memory::MIN);
    }
}
