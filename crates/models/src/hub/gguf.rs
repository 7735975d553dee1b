//! Which of a repository's GGUF files is meant? Most repositories hold a model at many quantizations, each in a file whose
//! name says which.

use super::error::HubError;
use super::listing::{Listed, Listing};
use super::source::Repository;

/// Files that an error lists; some repositories have many more.
const MOST_LISTED: usize = 30;

/// Whether a file is one, by its name.
pub(super) fn is_gguf(name: &str) -> bool {
    name.ends_with(".gguf")
}

/// The file that is meant: the one of that name, the one whose name says that quantization, or the only one.
pub(super) fn choose<'a>(repository: &Repository, listing: &'a Listing) -> Result<&'a Listed, HubError> {
    // What projects pictures into a model is no model.
    let is_model = |file: &&Listed| is_gguf(&file.name) && !last(&file.name).starts_with("mmproj");
    let there: Vec<&Listed> = listing.files.iter().filter(is_model).collect();
    let unclear = |why: &str| HubError::Unclear {
        repository: repository.clone(),
        why: match there.is_empty() {
            true => "has no GGUF file".to_owned(),
            false => format!("{why}: {}", shown(&there)),
        },
    };
    let (meant, why): (Vec<&Listed>, &str) = match &repository.file {
        None => (there.clone(), "has several GGUF files"),
        Some(name) if is_gguf(name) => {
            (there.iter().filter(|file| file.name == *name).copied().collect(), "has no such file, but")
        }
        Some(word) => (
            there.iter().filter(|file| says(&file.name, word)).copied().collect(),
            "has no one such file, but",
        ),
    };
    match meant[..] {
        [file] if parts(&file.name).is_none() => Ok(file),
        // All parts of one file.
        [first, ..]
            if parts(&first.name).is_some()
                && meant.iter().all(|file| parts(&file.name) == parts(&first.name)) =>
        {
            Err(HubError::InParts { repository: repository.clone(), file: first.name.clone() })
        }
        _ => Err(unclear(why)),
    }
}

/// Whether a file's name says a quantization: as a word of its own, in whichever case, with `-` or `_` inside.
fn says(name: &str, word: &str) -> bool {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let (name, word) = (plain(last(name)), plain(word));
    let bytes = name.as_bytes();
    name.match_indices(&word).any(|(at, _)| {
        let before = at.checked_sub(1).map(|before| bytes[before]);
        let after = &name[at + word.len()..];
        // `q4_0` is not said by `q4_0_4_4`, nor `q4_k` by `q4_k_m`.
        let goes_on =
            after.starts_with('_') && after[1..].split(['_', '.']).next().is_some_and(is_of_a_quantization);
        before.is_none_or(|before| !before.is_ascii_alphanumeric())
            && !after.starts_with(|next: char| next.is_ascii_alphanumeric())
            && !goes_on
    })
}

/// What can follow in the name of a longer quantization: `m`, `xl`, `4`.
fn is_of_a_quantization(part: &str) -> bool {
    matches!(part, "s" | "m" | "l" | "xs" | "xl" | "xxs" | "nl" | "k")
        || (part.len() == 1 && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What stands before the number of a part, and how many parts there are: `model-00001-of-00003.gguf`.
fn parts(name: &str) -> Option<(&str, &str)> {
    let (rest, of) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (begins, number) = rest.rsplit_once('-')?;
    let is_number = |word: &str| word.len() == 5 && word.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(number) && is_number(of)).then_some((begins, of))
}

fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn shown(files: &[&Listed]) -> String {
    let one = |file: &&Listed| match file.size {
        Some(size) if size < 1_000_000_000 => format!("{} ({:.1} MB)", file.name, size as f64 / 1e6),
        Some(size) => format!("{} ({:.1} GB)", file.name, size as f64 / 1e9),
        None => file.name.clone(),
    };
    let mut shown: Vec<String> = files.iter().take(MOST_LISTED).map(one).collect();
    if files.len() > MOST_LISTED {
        shown.push(format!("and {} more", files.len() - MOST_LISTED));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 10] = [
        "README.md",
        "Some-1B-Instruct-Q4_K_M.gguf",
        "Some-1B-Instruct-Q4_K_S.gguf",
        "Some-1B-Instruct-Q4_0.gguf",
        "Some-1B-Instruct-Q4_0_4_4.gguf",
        "Some-1B-Instruct.Q8_0.gguf",
        "mmproj-Some-Q6_K.gguf",
        "bf16/Some-1B-BF16-00001-of-00002.gguf",
        "bf16/Some-1B-BF16-00002-of-00002.gguf",
        "some-1b-instruct-q5-k-m.gguf",
    ];

    fn chosen(names: &[&str], file: Option<&str>) -> Result<String, String> {
        let of = |name: &&str| Listed { name: (*name).to_owned(), size: Some(1_300_000_000), digest: None };
        let listing = Listing { commit: "c".to_owned(), files: names.iter().map(of).collect() };
        let file = file.map(str::to_owned);
        let repository = Repository { owner: "o".into(), name: "n".into(), revision: "main".into(), file };
        choose(&repository, &listing).map(|file| file.name.clone()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_file_is_the_one_whose_name_says_the_quantization() {
        for (word, name) in [
            ("q4_k_m", "Some-1B-Instruct-Q4_K_M.gguf"),
            ("Q4_K_S", "Some-1B-Instruct-Q4_K_S.gguf"),
            ("q4_0", "Some-1B-Instruct-Q4_0.gguf"),
            ("q8_0", "Some-1B-Instruct.Q8_0.gguf"),
            ("q5_k_m", "some-1b-instruct-q5-k-m.gguf"),
            ("Some-1B-Instruct-Q4_0_4_4.gguf", "Some-1B-Instruct-Q4_0_4_4.gguf"),
        ] {
            assert_eq!(chosen(&FILES, Some(word)).unwrap(), name);
        }
        assert_eq!(chosen(&["a.gguf", "config.json"], None).unwrap(), "a.gguf");
    }

    #[test]
    fn what_is_unclear_is_answered_with_what_is_there() {
        for (names, file, why) in [
            (&FILES[..], None, "has several GGUF files: Some-1B-Instruct-Q4_K_M.gguf (1.3 GB), "),
            (&FILES, Some("q4_k"), "has no one such file, but: Some-1B"),
            (&FILES, Some("q6_k"), "has no one such file, but: Some-1B"),
            (&FILES, Some("instruct"), "has no one such file, but"),
            (&FILES, Some("other.gguf"), "has no such file, but: Some-1B"),
            (&["README.md"], Some("q4_k_m"), "has no GGUF file"),
            (&FILES, Some("bf16"), "has bf16/Some-1B-BF16-00001-of-00002.gguf only in parts"),
        ] {
            let error = chosen(names, file).unwrap_err();
            assert!(error.contains(why), "{file:?}: {error}");
        }
    }
}
