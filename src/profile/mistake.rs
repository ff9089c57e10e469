//! A person's mistake in a profile or in the settings: where it is, what is wrong and what is allowed.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What is allowed where the reader of TOML does not say it.
const FORM: &str =
    "the form that the manual describes; for profiles, `gatepost profile new` prints an example with every word";

/// The text of a file and its name, so that a mistake can point at line and column.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The file's name as the person knows it.
    pub file: &'a Path,
    /// The whole text.
    pub text: &'a str,
}

/// One mistake, as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub file: PathBuf,
    /// Line and column, both from 1; absent where the whole file is meant.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub wrong: String,
    /// What is allowed, or what to do.
    pub allowed: String,
}

impl<'a> Source<'a> {
    /// A mistake at a byte range of the text.
    pub fn mistake(&self, at: Range<usize>, wrong: impl Into<String>, allowed: impl Into<String>) -> Mistake {
        Mistake {
            file: self.file.to_owned(),
            place: Some(self.place(at.start)),
            wrong: wrong.into(),
            allowed: allowed.into(),
        }
    }

    /// A mistake that concerns the whole file.
    pub fn whole(&self, wrong: impl Into<String>, allowed: impl Into<String>) -> Mistake {
        Mistake { file: self.file.to_owned(), place: None, wrong: wrong.into(), allowed: allowed.into() }
    }

    /// A mistake that the TOML reader found; its message already says what is allowed.
    pub fn unreadable(&self, error: &toml::de::Error) -> Mistake {
        let place = error.span().map(|span| self.place(span.start));
        let message = error.message().replace('\n', "; ");
        let (wrong, allowed) = match message.split_once(", expected ") {
            Some((wrong, "a sequence")) => (wrong.to_owned(), self.list_for(wrong, error.span())),
            Some((wrong, allowed)) => (meant(wrong, allowed), allowed.trim_start_matches("one of ").to_owned()),
            None => match message.split_once(" are expected: ") {
                Some((allowed, wrong)) => (wrong.to_owned(), allowed.to_owned()),
                None => (message, FORM.to_owned()),
            },
        };
        Mistake { file: self.file.to_owned(), place, wrong, allowed }
    }

    /// The same of a file that may be no profile at all: whatever else lies below a directory of profiles is read as one.
    pub fn no_profile(&self, error: &toml::de::Error) -> Mistake {
        let mistake = self.unreadable(error);
        if mistake.wrong != "missing field `profile`" {
            return mistake;
        }
        let wrong = "this is no profile: there is no [profile]";
        self.whole(wrong, "profiles and their NAME.recording.toml only, below a directory of profiles")
    }

    /// A list with what stands there alone; of a length or a check, with what a second name would mean.
    fn list_for(&self, wrong: &str, at: Option<Range<usize>>) -> String {
        let alone = wrong.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"')).map_or("…", |(alone, _)| alone);
        let before = at.and_then(|at| self.text.get(..at.start)).unwrap_or_default().trim_end();
        let key = before.strip_suffix('=').unwrap_or_default().trim_end();
        let is_range = ["counts", "over"].iter().any(|word| key.ends_with(word));
        let range = if is_range { ", or the first and the last of several: [\"first\", \"last\"]" } else { "" };
        format!("a list: [\"{alone}\"]{range}")
    }

    fn place(&self, byte: usize) -> (usize, usize) {
        let mut byte = byte.min(self.text.len());
        while !self.text.is_char_boundary(byte) {
            byte -= 1;
        }
        let before = &self.text[..byte];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        (line, column)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}; allowed: {}", self.wrong, self.allowed)
    }
}

/// The complaint with the nearest allowed name, where the unknown one looks like a slip of the finger.
fn meant(wrong: &str, allowed: &str) -> String {
    let quoted = |text: &str| -> Vec<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let unknown = quoted(wrong).into_iter().next().unwrap_or_default();
    match nearest(&unknown, quoted(allowed).iter().map(String::as_str)) {
        Some(near) => format!("{wrong} (did you mean `{near}`?)"),
        None => wrong.to_owned(),
    }
}

/// The known name that is most like an unknown one; none where all are far from it.
pub fn nearest<'n>(unknown: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let far = unknown.chars().count() / 3 + 1;
    let distance = |name: &str| strsim::osa_distance(unknown, name);
    let near = known.into_iter().map(|name| (distance(name), name)).min()?;
    (near.0 <= far && !unknown.is_empty()).then_some(near.1)
}

/// The known names as a person reads them in a mistake.
pub fn one_of<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() { "(none is known)".to_owned() } else { names.join(", ") }
}
