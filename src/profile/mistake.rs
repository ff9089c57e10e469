//! A person's mistake in a profile or in the settings: where it is, what is wrong and what is allowed.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

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
            Some((wrong, allowed)) => (wrong.to_owned(), allowed.to_owned()),
            None => (message, "what the manual beside the file describes".to_owned()),
        };
        Mistake { file: self.file.to_owned(), place, wrong, allowed }
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

/// The known names as a person reads them in a mistake.
pub fn one_of<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() { "(none is known)".to_owned() } else { names.join(", ") }
}
