//! The settings of displays and speakers: in which languages, with which words of the site's own.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::devices::signs::{Language, Words};
use crate::profile::mistake::{Mistake, Source};

/// `[signs]`: what displays and speakers say.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SignsConfig {
    /// In which languages, the most important first: `zh`, `en`.
    languages: Vec<Language>,
    /// A file with words of the site's own.
    words: Option<Spanned<PathBuf>>,
    /// The address behind a payment code, with `{stay}`, `{lane}` and `{due_fen}` in it.
    pub pay_code: Option<String>,
}

impl Default for SignsConfig {
    fn default() -> Self {
        Self { languages: vec![Language::Zh], words: None, pay_code: None }
    }
}

/// The words of the signs: the site's own file stands beside the settings unless its path is absolute.
pub(super) fn words(settings: &Path, signs: &SignsConfig, source: &Source<'_>) -> Result<Words, Mistake> {
    let Some(own) = &signs.words else {
        return Words::new(&signs.languages, None).map_err(|error| source.whole(error.to_string(), "shipped words"));
    };
    let path = settings.parent().unwrap_or(Path::new("")).join(own.get_ref());
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let wrong = format!("{} cannot be read: {error}", path.display());
        source.mistake(own.span(), wrong, "a file with words, as in the manual")
    })?;
    let beside = Source { file: &path, text: &text };
    Words::new(&signs.languages, Some(&text)).map_err(|error| beside.unreadable(&error))
}
