//! Sizes with units.

/// Parses a size: digits and an optional unit. `k`, `m`, `g`, `t` count in thousands; `kb`, `ki`, `kib` and so on in
/// 1024s; any case. A fraction is allowed with a unit. `None` when it is no size or too large.
pub fn parse_size(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
    let (number, unit) = digits.split_at(end);
    let scale = scale_of(unit.trim())?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || (!fraction.is_empty() && scale == 1) {
        return None;
    }
    let whole: i128 = whole.parse::<i64>().ok()?.into();
    let (mut part, mut tens) = (0_i128, 1_i128);
    for digit in fraction.bytes().take(18) {
        part = part * 10 + i128::from(digit - b'0');
        tens *= 10;
    }
    let size = whole * scale + part * scale / tens;
    i64::try_from(if negative { -size } else { size }).ok()
}

fn scale_of(unit: &str) -> Option<i128> {
    let mut letters = unit.chars();
    let power = match letters.next() {
        None => return Some(1),
        Some(letter) => match letter.to_ascii_lowercase() {
            'b' if unit.len() == 1 => return Some(1),
            'k' => 1,
            'm' => 2,
            'g' => 3,
            't' => 4,
            'p' => 5,
            'e' => 6,
            _ => return None,
        },
    };
    match letters.as_str().to_ascii_lowercase().as_str() {
        "" => Some(1000_i128.pow(power)),
        "b" | "i" | "ib" => Some(1024_i128.pow(power)),
        _ => None,
    }
}

/// A size for people: `1023 B`, `1.50 KB`, `2.00 GB`.
pub fn friendly_bytes(bytes: i64) -> String {
    let names = ["KB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes as f64;
    if value.abs() < 1024.0 {
        return format!("{bytes} B");
    }
    let mut name = names[0];
    for unit in names {
        value /= 1024.0;
        name = unit;
        if value.abs() < 1024.0 {
            break;
        }
    }
    format!("{value:.2} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed() {
        for (text, size) in [
            ("0", Some(0)),
            ("1024", Some(1024)),
            ("-1", Some(-1)),
            ("1k", Some(1000)),
            ("1KB", Some(1024)),
            ("1kib", Some(1024)),
            ("2Mi", Some(2 << 20)),
            ("1.5GB", Some(3 << 29)),
            ("1.5 gb", Some(3 << 29)),
            ("10b", Some(10)),
            ("7e", Some(7_000_000_000_000_000_000)),
            ("8EB", None),
            ("1.5", None),
            ("1.5.5k", None),
            (".5k", None),
            ("", None),
            ("k", None),
            ("1kbb", None),
            ("1x", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_size(text), size, "{text}");
        }
    }

    #[test]
    fn sizes_are_printed_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KB"),
            (1536, "1.50 KB"),
            (3 << 29, "1.50 GB"),
            (i64::MAX, "8.00 EB"),
            (-2048, "-2.00 KB"),
        ] {
            assert_eq!(friendly_bytes(bytes), text);
        }
    }
}
