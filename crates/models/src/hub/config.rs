//! Which hub is asked, with whose token, and where files are kept. The variables are those that the hub's own tools
//! read, so that a machine set up for them needs nothing more.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use sprat_task::Problem;

use crate::remote::Secret;

/// The hub that is asked unless `HF_ENDPOINT` names another.
const HUB: &str = "https://huggingface.co";

/// Everything that can be set about the hub.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// `HF_ENDPOINT`: the hub's address, or a mirror's.
    pub(super) endpoint: Url,
    /// `HF_TOKEN`: for private and gated models. Sent to the endpoint alone, never to where it redirects, and never
    /// unencrypted over a network.
    pub(super) token: Option<Secret>,
    /// `--offline` or `HF_HUB_OFFLINE`: only what is in the cache.
    pub offline: bool,
    /// `SPRAT_MODELS`, else `sprat/models` in the user's cache folder: where files are kept.
    pub folder: PathBuf,
    /// The first pause before a failed request is sent again; it doubles, and chance shortens it.
    pub(super) backoff: Duration,
}

impl HubConfig {
    /// Reads the settings from the environment, variable by variable.
    ///
    /// # Errors
    /// An endpoint that is no http(s) address, a token that can't stand in a header, a machine that says neither where
    /// the user's home nor the cache is. No message shows the token.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let token = variable("HF_TOKEN").map(Secret::new).transpose().map_err(|problem| {
            Problem::new(format!("HF_TOKEN can't be used: {}", problem.message))
                .hint("make a token in the hub's settings, or unset the variable: public models need none")
        })?;
        let offline = variable("HF_HUB_OFFLINE")
            .is_some_and(|word| ["1", "true", "yes", "on"].contains(&word.to_lowercase().as_str()));
        Ok(Self {
            endpoint: endpoint(variable("HF_ENDPOINT").as_deref().unwrap_or(HUB))?,
            token,
            offline,
            folder: folder(variable)?,
            backoff: Duration::from_millis(500),
        })
    }
}

fn endpoint(written: &str) -> Result<Url, Problem> {
    // The address is not quoted: it may hold a password.
    let wrong = |why: &str| {
        Problem::new(format!("HF_ENDPOINT {why}")).allowed(HUB).hint("unset it to ask the hub itself")
    };
    let url = Url::parse(written.trim().trim_end_matches('/')).map_err(|_| wrong("is not an address"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("must begin with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(wrong("must not hold a user, a password or a query"));
    }
    Ok(url)
}

fn folder(variable: impl Fn(&str) -> Option<String>) -> Result<PathBuf, Problem> {
    let path = |name: &str| variable(name).map(PathBuf::from);
    // The XDG rules: a relative path is to be ignored.
    let cache = path("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    let cache = cache.or_else(|| Some(path("HOME")?.join(".cache"))).or_else(|| path("LOCALAPPDATA"));
    path("SPRAT_MODELS").or_else(|| Some(cache?.join("sprat").join("models"))).ok_or_else(|| {
        Problem::new("nothing says where models are kept: neither HOME nor XDG_CACHE_HOME is set")
            .hint("set SPRAT_MODELS to a folder")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<HubConfig, Problem> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name);
        HubConfig::from_env(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn models_are_kept_where_the_user_says_else_in_the_user_s_cache() {
        let rows: [(&[(&str, &str)], &str); 4] = [
            (&[("HOME", "/h")], "/h/.cache/sprat/models"),
            (&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")], "/c/sprat/models"),
            (&[("HOME", "/h"), ("XDG_CACHE_HOME", "c")], "/h/.cache/sprat/models"),
            (&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c"), ("SPRAT_MODELS", "/m")], "/m"),
        ];
        for (variables, folder) in rows {
            assert_eq!(read(variables).unwrap().folder, PathBuf::from(folder));
        }
        assert!(read(&[]).unwrap_err().to_string().contains("SPRAT_MODELS"));
    }

    #[test]
    fn the_hub_s_own_variables_are_honoured() {
        let config = read(&[("HOME", "/h")]).unwrap();
        assert_eq!((config.endpoint.as_str(), config.offline), ("https://huggingface.co/", false));
        let set = [("HOME", "/h"), ("HF_ENDPOINT", "http://127.0.0.1:9/hub/"), ("HF_HUB_OFFLINE", "True")];
        let config = read(&set).unwrap();
        assert_eq!((config.endpoint.path(), config.offline), ("/hub", true));
        assert!(!read(&[("HOME", "/h"), ("HF_HUB_OFFLINE", "0")]).unwrap().offline);
    }

    #[test]
    fn what_can_not_be_used_is_said_without_showing_a_secret() {
        for (name, value) in [
            ("HF_ENDPOINT", "ftp://hunter2.example"),
            ("HF_ENDPOINT", "https://me:hunter2@hub.example"),
            ("HF_ENDPOINT", "hunter2"),
            ("HF_TOKEN", "hf_hunter2\nhf_other"),
        ] {
            let problem = read(&[("HOME", "/h"), (name, value)]).expect_err(value).to_string();
            assert!(problem.contains(name) && !problem.contains("hunter2"), "{problem}");
        }
        let config = read(&[("HOME", "/h"), ("HF_TOKEN", "hf_hunter2")]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
