//! Addresses of mail and machines, and what opens them.

use core::net::{IpAddr, SocketAddr};
use std::ops::Range;

use super::{begins, ends};

/// Mail addresses: around each `@`, a name before it and a domain with a dot after it.
pub(super) fn emails(text: &[char]) -> Vec<Range<usize>> {
    let in_name = |c: &char| c.is_alphanumeric() || "._%+-'".contains(*c);
    let in_domain = |c: &char| c.is_alphanumeric() || ".-".contains(*c);
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut done = 0;
    for at in (0..text.len()).filter(|at| text[*at] == '@') {
        if at < done {
            continue;
        }
        let start = at - text[done..at].iter().rev().take_while(|c| in_name(c)).count();
        let mut end = at + 1 + text[at + 1..].iter().take_while(|c| in_domain(c)).count();
        while end > at + 1 && ".-".contains(text[end - 1]) {
            end -= 1;
        }
        if start < at && text[at + 1..end].contains(&'.') {
            found.push(start..end);
            done = end;
        }
    }
    found
}

/// The longest address of a machine: an IPv6 address with an IPv4 one inside, in brackets, with a port.
const LONGEST_IP: usize = 53;

/// Addresses of machines.
pub(super) fn ips(text: &[char]) -> Vec<Range<usize>> {
    let belongs = |c: &char| c.is_ascii_hexdigit() || ".:".contains(*c);
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let length = text[at..].iter().take_while(|c| belongs(c)).count();
        if length > 0 && begins(text, at) && ends(text, at + length) && length <= LONGEST_IP {
            let token: String = text[at..at + length].iter().collect();
            let address = token.trim_end_matches(['.', ':']);
            if is_ip(address) {
                found.push(at..at + address.len()); // all of it is ASCII
            }
        }
        at += length.max(1);
    }
    found
}

fn is_ip(token: &str) -> bool {
    let with_port = || token.parse::<SocketAddr>().is_ok();
    token.contains(|c: char| c.is_ascii_digit()) && (token.parse::<IpAddr>().is_ok() || with_port())
}

/// What the tokens of well-known services begin with.
const BEGINNINGS: [&str; 13] = [
    "sk-",
    "sk_",
    "pk_",
    "rk_",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xox",
    "AKIA",
    "AIza",
    "eyJ",
];
/// A token with a known beginning has at least so many characters,
const SHORTEST_KNOWN: usize = 16;
/// and any other so many, capital and small letters and digits among them.
const SHORTEST_MIXED: usize = 24;

/// Keys, and user names with passwords in addresses.
pub(super) fn secrets(text: &[char]) -> Vec<Range<usize>> {
    let belongs = |c: &char| c.is_ascii_alphanumeric() || "_-.+/=".contains(*c);
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if let Some(end) = credentials(text, at) {
            found.push(at..end);
            at = end;
            continue;
        }
        if !text[at].is_ascii_alphanumeric() {
            at += 1;
            continue;
        }
        let length = text[at..].iter().take_while(|c| belongs(c)).count();
        if begins(text, at) && is_key(&text[at..at + length]) {
            found.push(at..at + length);
        }
        at += length;
    }
    found
}

/// Where `user:password` ends, if it begins here: after `://`, before an `@`.
fn credentials(text: &[char], at: usize) -> Option<usize> {
    let follows = at >= 3 && text[at - 3..at] == [':', '/', '/'];
    let length = follows
        .then(|| text[at..].iter().take_while(|c| !c.is_whitespace() && !"@/?#".contains(**c)).count())?;
    let is_pair = text[at..at + length].contains(&':') && text.get(at + length) == Some(&'@');
    is_pair.then_some(at + length)
}

fn is_key(token: &[char]) -> bool {
    let known = |beginning: &&str| {
        beginning.len() < token.len() && beginning.chars().zip(token).all(|(a, b)| a == *b)
    };
    let has = |is: fn(&char) -> bool| token.iter().any(is);
    let mixed = has(char::is_ascii_lowercase) && has(char::is_ascii_uppercase) && has(char::is_ascii_digit);
    let is_path =
        token.contains(&'/') && token.iter().filter(|c| "/.-_".contains(**c)).count() > token.len() / 10;
    (token.len() >= SHORTEST_KNOWN && BEGINNINGS.iter().any(known))
        || (token.len() >= SHORTEST_MIXED && mixed && !is_path)
}
