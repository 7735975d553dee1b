//! Amounts of money as people write them.

use super::number;

/// Signs and words, and the currency they mean. `$` and `¥` are several countries'; a declared currency that is written
/// so comes first.
const SIGNS: [(&str, &str); 19] = [
    ("€", "EUR"),
    ("euro", "EUR"),
    ("euros", "EUR"),
    ("us$", "USD"),
    ("a$", "AUD"),
    ("c$", "CAD"),
    ("$", "USD"),
    ("dollar", "USD"),
    ("dollars", "USD"),
    ("£", "GBP"),
    ("pound", "GBP"),
    ("pounds", "GBP"),
    ("¥", "JPY"),
    ("yen", "JPY"),
    ("₹", "INR"),
    ("rs", "INR"),
    ("rm", "MYR"),
    ("fr", "CHF"),
    ("₩", "KRW"),
];

/// Currencies that a bare sign of another may mean.
const SHARED: [(&str, &[&str]); 4] = [
    ("$", &["USD", "AUD", "CAD", "NZD", "SGD", "HKD", "MXN", "TWD"]),
    ("dollars", &["USD", "AUD", "CAD", "NZD", "SGD", "HKD"]),
    ("¥", &["JPY", "CNY"]),
    ("fr", &["CHF", "XOF", "XAF"]),
];

/// Words for large amounts.
const SCALES: [(&str, f64); 6] =
    [("thousand", 1e3), ("million", 1e6), ("mn", 1e6), ("billion", 1e9), ("bn", 1e9), ("trillion", 1e12)];

/// The amount, and the currency where the text names one before or behind it. `None` where the text is no amount, or
/// names something that is no currency.
pub fn parse(text: &str, decimal: char, declared: Option<&str>) -> Option<(f64, Option<String>)> {
    let text = text.trim();
    let first = text.find(|c: char| c.is_ascii_digit())?;
    let last = text.rfind(|c: char| c.is_ascii_digit())? + 1;
    // A sign or an opening bracket belongs to the number; so does a point without a digit before it.
    let marks = |c: char| matches!(c, '-' | '\u{2212}' | '+' | '(' | '.' | ',');
    let start = text[..first].trim_end_matches(marks).len();
    let end = last + text[last..].find(|c| c != ')').unwrap_or(text.len() - last);
    let (scale, behind) = scaled(text[end..].trim());
    let amount = number::parse(&text[start..end], decimal)? * scale;
    let currency = match (text[..start].trim(), behind) {
        ("", "") => None,
        (one, "") | ("", one) => Some(code(one, declared)?),
        _ => return None,
    };
    Some((amount, currency))
}

/// The factor that a word behind a number stands for, and what follows it.
fn scaled(behind: &str) -> (f64, &str) {
    let lower = behind.to_lowercase();
    let named = SCALES.iter().find(|(word, _)| {
        lower
            .strip_prefix(word)
            .is_some_and(|rest| rest.chars().next().is_none_or(|next| !next.is_alphanumeric()))
    });
    named.map_or((1.0, behind), |(word, factor)| (*factor, behind[word.len()..].trim()))
}

/// The ISO 4217 code that a sign, a word or a code means.
pub fn code(said: &str, declared: Option<&str>) -> Option<String> {
    let wanted = said.trim().trim_end_matches('.').to_lowercase();
    if let Some((_, meant)) = SHARED.iter().find(|(sign, _)| *sign == wanted)
        && let Some(declared) = declared.filter(|declared| meant.contains(declared))
    {
        return Some(declared.to_owned());
    }
    if let Some((_, code)) = SIGNS.iter().find(|(sign, _)| *sign == wanted) {
        return Some((*code).to_owned());
    }
    let code = wanted.to_uppercase();
    (is_code(&code) || declared == Some(code.as_str())).then_some(code)
}

/// Whether a text is a code of ISO 4217 that texts often name; others count where they are declared.
fn is_code(text: &str) -> bool {
    CODES.binary_search(&text).is_ok()
}

const CODES: [&str; 54] = [
    "AED", "ARS", "AUD", "BDT", "BGN", "BHD", "BRL", "CAD", "CHF", "CLP", "CNY", "COP", "CZK", "DKK", "EGP",
    "EUR", "GBP", "HKD", "HUF", "IDR", "ILS", "INR", "ISK", "JPY", "KES", "KRW", "KWD", "LKR", "MAD", "MXN",
    "MYR", "NGN", "NOK", "NZD", "OMR", "PEN", "PHP", "PKR", "PLN", "QAR", "RON", "RSD", "RUB", "SAR", "SEK",
    "SGD", "THB", "TND", "TRY", "TWD", "UAH", "USD", "VND", "ZAR",
];
